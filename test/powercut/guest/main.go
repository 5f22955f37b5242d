// Command guest is the init process of the machine whose power the proof cuts. It is
// the only program there.
//
// It takes an order from the host over a virtio serial port, mounts the disk, starts a
// node on it, lets it hand over everything that an earlier boot has left, reports the
// balance, and then sends letters until the power goes. Every fact is told to the host
// the moment it is known. It keeps nothing itself and decides nothing: whether the
// figures are good, the host says.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"doppelboden/test/powercut/wire"
)

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "guest: this is the init process of a virtual machine; see test/powercut")
		os.Exit(2)
	}
	if err := run(context.Background()); err != nil {
		fmt.Println("guest:", err)
	}
	unix.Sync()
	err := unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	fmt.Println("guest: power off:", err)
}

// run boots, then does what the order says. What goes wrong afterwards is told to the
// host as well.
func run(ctx context.Context) error {
	if err := boot(); err != nil {
		return err
	}
	host, order, err := openPort()
	if err != nil {
		return err
	}
	if err := obey(ctx, host, order); err != nil {
		host.say(wire.Line{Kind: wire.Failed, Text: err.Error()})
		return err
	}
	return nil
}

// obey verifies, sends, and, when the order is only to verify, shuts down.
func obey(ctx context.Context, host *port, order wire.Order) error {
	if err := mount(order.Weakness); err != nil {
		return err
	}
	groupware, err := listenGroupware(host)
	if err != nil {
		return err
	}
	began := time.Now()
	n, err := startNode(ctx, order.Weakness)
	if err != nil {
		return fmt.Errorf("start the node: %w", err)
	}
	host.say(wire.Line{Kind: wire.Up, Text: time.Since(began).Round(time.Millisecond).String()})
	if err := handOver(ctx, n); err != nil {
		return err
	}
	balance, err := n.balance(ctx)
	if err != nil {
		return err
	}
	host.say(wire.Line{Kind: wire.Balance, Text: balance})
	if order.Letters > 0 {
		if !order.Groupware {
			groupware.close()
		}
		host.say(wire.Line{Kind: wire.Load})
		send(host, n.addr(), order)
		select {} // everything is sent; now only the cut can come
	}
	if err := n.stop(ctx); err != nil {
		return fmt.Errorf("stop the node: %w", err)
	}
	if err := unix.Unmount(disk, 0); err != nil {
		return fmt.Errorf("unmount: %w", err)
	}
	host.say(wire.Line{Kind: wire.End})
	return nil
}

// handOver waits until no delivery is left; the host bounds how long.
func handOver(ctx context.Context, n *node) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		waiting, err := n.waiting(ctx)
		if err != nil {
			return err
		}
		if waiting == 0 {
			return nil
		}
		<-tick.C
	}
}
