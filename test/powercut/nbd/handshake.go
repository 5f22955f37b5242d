package nbd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The numbers of the protocol document, sections "Newstyle negotiation", "Option types",
// "Option reply types" and "Transmission flags".
const (
	magicInit     = 0x4e42444d41474943 // "NBDMAGIC"
	magicOption   = 0x49484156454f5054 // "IHAVEOPT"
	magicReply    = 0x0003e889045565a9
	flagFixed     = 1 << 0 // handshake: fixed newstyle
	flagNoZeroes  = 1 << 1 // handshake: no 124 zeroes after EXPORT_NAME
	optExportName = 1
	optAbort      = 2
	optInfo       = 6
	optGo         = 7
	repAck        = 1
	repInfo       = 3
	repErrUnsup   = 1<<31 | 1
	repErrInvalid = 1<<31 | 3
	infoExport    = 0
	infoBlockSize = 3

	hasFlags  = 1 << 0
	sendFlush = 1 << 2
	sendFUA   = 1 << 3
)

// maxOption bounds what a client may send in one option, in bytes; an export's name has
// at most 4,096.
const maxOption = 8192

// maxPayload bounds one READ or WRITE, in bytes: the document's default of 32 MiB.
const maxPayload = 32 << 20

// errAborted says that the client ended the negotiation.
var errAborted = errors.New("nbd: the client aborted the negotiation")

// handshake leads the negotiation until the client has chosen the export. There is only
// one, and every name means it.
func (s *Server) handshake(rw io.ReadWriter) error {
	hello := binary.BigEndian.AppendUint64(nil, magicInit)
	hello = binary.BigEndian.AppendUint64(hello, magicOption)
	hello = binary.BigEndian.AppendUint16(hello, flagFixed|flagNoZeroes)
	if _, err := rw.Write(hello); err != nil {
		return err
	}
	var client [4]byte
	if _, err := io.ReadFull(rw, client[:]); err != nil {
		return err
	}
	flags := binary.BigEndian.Uint32(client[:])
	if flags&flagFixed == 0 {
		return errors.New("nbd: the client does not know the fixed newstyle negotiation")
	}
	for {
		option, data, err := readOption(rw)
		if err != nil {
			return err
		}
		done, err := s.answerOption(rw, option, data, flags&flagNoZeroes != 0)
		if done || err != nil {
			return err
		}
	}
}

// readOption reads one option of the client.
func readOption(r io.Reader) (option uint32, data []byte, err error) {
	var head [16]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	if binary.BigEndian.Uint64(head[:]) != magicOption {
		return 0, nil, errors.New("nbd: an option without its magic number")
	}
	option, size := binary.BigEndian.Uint32(head[8:]), binary.BigEndian.Uint32(head[12:])
	if size > maxOption {
		return 0, nil, fmt.Errorf("nbd: option %d has %d bytes", option, size)
	}
	data = make([]byte, size)
	_, err = io.ReadFull(r, data)
	return option, data, err
}

// transmission says what the disk offers.
func (s *Server) transmission() uint16 {
	if s.opts.Lying {
		return hasFlags
	}
	return hasFlags | sendFlush | sendFUA
}

// answerOption answers one option and reports whether transmission begins.
func (s *Server) answerOption(w io.Writer, option uint32, data []byte, noZeroes bool) (bool, error) {
	switch option {
	case optExportName:
		b := binary.BigEndian.AppendUint64(nil, uint64(s.disk.Size()))
		b = binary.BigEndian.AppendUint16(b, s.transmission())
		if !noZeroes {
			b = append(b, make([]byte, 124)...)
		}
		_, err := w.Write(b)
		return true, err
	case optAbort:
		if err := reply(w, option, repAck, nil); err != nil {
			return false, err
		}
		return false, errAborted
	case optGo, optInfo:
		if !wellFormed(data) {
			return false, reply(w, option, repErrInvalid, nil)
		}
		return option == optGo, s.describe(w, option)
	}
	return false, reply(w, option, repErrUnsup, nil)
}

// wellFormed checks the data of INFO and GO: a name's length, the name, a number of
// requests, and the requests of two bytes each.
func wellFormed(data []byte) bool {
	if len(data) < 6 {
		return false
	}
	name := uint64(binary.BigEndian.Uint32(data))
	if uint64(len(data)) < name+6 {
		return false
	}
	rest := data[4+name:]
	return len(rest) == 2+2*int(binary.BigEndian.Uint16(rest))
}

// describe answers INFO and GO: the size, the flags, and the block sizes, whether asked
// for or not.
func (s *Server) describe(w io.Writer, option uint32) error {
	export := binary.BigEndian.AppendUint16(nil, infoExport)
	export = binary.BigEndian.AppendUint64(export, uint64(s.disk.Size()))
	export = binary.BigEndian.AppendUint16(export, s.transmission())
	if err := reply(w, option, repInfo, export); err != nil {
		return err
	}
	sizes := binary.BigEndian.AppendUint16(nil, infoBlockSize)
	sizes = binary.BigEndian.AppendUint32(sizes, SectorSize) // minimum
	sizes = binary.BigEndian.AppendUint32(sizes, 4096)       // preferred
	sizes = binary.BigEndian.AppendUint32(sizes, maxPayload)
	if err := reply(w, option, repInfo, sizes); err != nil {
		return err
	}
	return reply(w, option, repAck, nil)
}

// reply writes one answer to an option.
func reply(w io.Writer, option, kind uint32, data []byte) error {
	b := binary.BigEndian.AppendUint64(nil, magicReply)
	b = binary.BigEndian.AppendUint32(b, option)
	b = binary.BigEndian.AppendUint32(b, kind)
	b = binary.BigEndian.AppendUint32(b, uint32(len(data)))
	_, err := w.Write(append(b, data...))
	return err
}
