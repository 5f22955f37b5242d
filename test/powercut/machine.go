package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"doppelboden/test/powercut/nbd"
	"doppelboden/test/powercut/wire"
)

// cacheSize is the disk's volatile cache in bytes: what disks have.
const cacheSize = 64 << 20

// A flush of a disk takes between these: an SSD without a capacitor, and a busy one.
const flushMin, flushMax = 500 * time.Microsecond, 4 * time.Millisecond

// A machine is one boot of the virtual machine, from power on to power off.
type machine struct {
	process *exec.Cmd
	exited  chan struct{} // closed when the process has ended
	server  *nbd.Server
	disk    *nbd.Disk
	image   *os.File
	hear    func(wire.Line) // is told what the guest says, line by line
	log     string          // file of the console
	served  sync.WaitGroup
	random  *rand.Rand // how the disk behaves
}

// powerOn boots the machine with an order. What the guest says is told to hear, from one
// goroutine, until the machine is off.
func (r rig) powerOn(ctx context.Context, order wire.Order, random *rand.Rand, hear func(wire.Line)) (*machine, error) {
	m := &machine{exited: make(chan struct{}), hear: hear, log: r.log, random: random}
	disk, err := listen(filepath.Join(r.sockets, "disk.sock"))
	if err != nil {
		return nil, err
	}
	defer disk.Close()
	port, err := listen(filepath.Join(r.sockets, "port.sock"))
	if err != nil {
		return nil, err
	}
	defer port.Close()
	if m.image, err = os.OpenFile(r.image, os.O_RDWR, 0); err != nil {
		return nil, err
	}
	if m.disk, err = nbd.NewDisk(m.image, diskSize, cacheSize); err != nil {
		return nil, err
	}
	m.server = nbd.NewServer(m.disk, nbd.Options{Delay: m.flushTime(), Lying: order.Weakness == wire.Unsafe})
	m.process = exec.CommandContext(ctx, "qemu-system-x86_64", r.arguments(order.Weakness)...)
	var complaint lastBytes
	m.process.Stdout, m.process.Stderr = &complaint, &complaint
	if err := m.process.Start(); err != nil {
		m.image.Close()
		return nil, fmt.Errorf("start qemu: %w", err)
	}
	go func() {
		_ = m.process.Wait() // killed is how it usually ends
		close(m.exited)
	}()
	if err := m.connect(disk, port, order); err != nil {
		m.kill()
		m.image.Close()
		return nil, fmt.Errorf("%w (qemu said: %s)", err, complaint.String())
	}
	return m, nil
}

// flushTime returns how long flushes take, from the machine's own random numbers.
func (m *machine) flushTime() func() time.Duration {
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(m.random.Uint64(), 1))
	return func() time.Duration {
		mu.Lock()
		defer mu.Unlock()
		return flushMin + time.Duration(random.Int64N(int64(flushMax-flushMin)))
	}
}

// arguments is qemu's command line. The guest sees one disk with a volatile write cache;
// with cache=writeback its flushes become FLUSH commands to our server. With
// cache=unsafe qemu is to answer them alone, but its NBD driver sends FLUSH all the same
// (it flushes "to the OS", which cache=unsafe still does; seen with 7.2). So our server
// offers none then.
func (r rig) arguments(w wire.Weakness) []string {
	cache := "writeback"
	if w == wire.Unsafe {
		cache = "unsafe"
	}
	return []string{
		"-machine", "q35", "-accel", r.accel, "-cpu", "max", "-smp", "2", "-m", "768",
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-kernel", r.kernel.image, "-initrd", r.initramfs,
		"-append", "console=ttyS0 panic=-1 quiet loglevel=4 random.trust_cpu=on",
		"-serial", "file:" + r.log,
		"-chardev", "socket,id=host,path=" + filepath.Join(r.sockets, "port.sock"),
		"-device", "virtio-serial-pci", "-device", "virtserialport,chardev=host,name=powercut",
		"-drive", "if=none,id=disk,format=raw,cache=" + cache + ",file=nbd+unix:///?socket=" + filepath.Join(r.sockets, "disk.sock"),
		"-device", "virtio-blk-pci,drive=disk",
	}
}

// connect waits for qemu on both sockets, starts to serve the disk and to read the
// guest's lines, and sends the order.
func (m *machine) connect(disk, port *net.UnixListener, order wire.Order) error {
	line, err := m.accept(port)
	if err != nil {
		return fmt.Errorf("wait for the guest's port: %w", err)
	}
	drive, err := m.accept(disk)
	if err != nil {
		line.Close()
		return fmt.Errorf("wait for the guest's disk: %w", err)
	}
	m.served.Go(func() { _ = m.server.Serve(drive) }) // qemu's death is its usual end
	m.served.Go(func() { m.listen(line) })
	text, err := json.Marshal(order)
	if err != nil {
		return err
	}
	if _, err := line.Write(append(text, '\n')); err != nil {
		return fmt.Errorf("send the order: %w", err)
	}
	return nil
}

// accept waits for qemu, which connects to everything as it starts, or dies.
func (m *machine) accept(l *net.UnixListener) (net.Conn, error) {
	if err := l.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return nil, err
	}
	return l.Accept()
}

// listen reads the guest's lines until the port is dead. The last line may be cut; it
// says nothing.
func (m *machine) listen(c net.Conn) {
	defer c.Close()
	in := bufio.NewScanner(c)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		if l, err := wire.Parse(in.Text()); err == nil {
			m.hear(l)
		}
	}
}

// grace is how long the guest goes on without a disk before it is killed.
const grace = 30 * time.Millisecond

// idle is how long cut waits for the disk to be written to.
const idle = time.Second

// cut takes the power away with the n-th request from now, or soon when there are none,
// and tells gone at that instant. The disk goes first: from then on nothing can become
// durable. A moment later the machine is killed. In between, what the guest had already
// said still arrives, so that a hand-over that was made durable is also known here.
func (m *machine) cut(n int, gone func()) (nbd.Loss, error) {
	burnt := make(chan struct{})
	dark := sync.OnceFunc(func() { gone(); close(burnt) })
	m.disk.PowerOffAfter(n, dark)
	m.wait(burnt, idle)
	dark()
	m.server.PowerOff()
	m.wait(nil, grace)
	m.kill()
	loss, err := m.disk.Drop(m.random)
	return loss, errors.Join(err, m.image.Close())
}

// wait waits until c is closed, for d, or until the machine has ended by itself.
func (m *machine) wait(c <-chan struct{}, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-c:
	case <-t.C:
	case <-m.exited:
	}
}

// kill ends qemu, and nothing else, at once, and waits until nothing of the boot is left.
func (m *machine) kill() {
	_ = m.process.Process.Kill() // an error says that it has ended already
	<-m.exited
	m.served.Wait()
}

// console returns the last lines that the guest's kernel and init have printed.
func (m *machine) console() string {
	text, err := os.ReadFile(m.log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-12):], "\n")
}

// listen opens a unix socket in place of whatever an earlier boot has left there.
func listen(path string) (*net.UnixListener, error) {
	if err := os.RemoveAll(path); err != nil {
		return nil, err
	}
	return net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
}

// lastBytes keeps the end of what is written to it.
type lastBytes struct {
	mu   sync.Mutex
	text []byte
}

func (b *lastBytes) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text = append(b.text, p...)
	b.text = b.text[max(0, len(b.text)-1000):]
	return len(p), nil
}

func (b *lastBytes) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(b.text)
}
