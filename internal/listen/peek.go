package listen

import (
	"fmt"
	"io"
	"net"
	"syscall"
	"time"
)

// preface begins every HTTP/2 connection with prior knowledge (RFC 9113, section 3.4), which is how gRPC speaks without TLS. No
// HTTP/1 method is called PRI, so the first byte that differs decides.
const preface = "PRI * HTTP/2.0"

// peek reports whether a connection begins with the preface, and leaves its bytes to be read by whoever gets it. It waits until that
// is certain, the client has gone, or the deadline has passed; afterwards the connection has no deadline.
func peek(conn *net.TCPConn, deadline time.Time) (isGRPC bool, err error) {
	if err := conn.SetReadDeadline(deadline); err != nil {
		return false, fmt.Errorf("peek at %s: %w", conn.RemoteAddr(), err)
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return false, fmt.Errorf("peek at %s: %w", conn.RemoteAddr(), err)
	}
	var buffer [len(preface)]byte
	var n int
	var peekErr error
	// The runtime's poller reports every arrival of bytes, also when earlier ones were left unread: answering false for a part of the
	// preface waits for more and does not spin.
	err = raw.Read(func(fd uintptr) (decided bool) {
		n, peekErr = peekBytes(fd, buffer[:])
		if peekErr == syscall.EAGAIN {
			return false
		}
		return peekErr != nil || n == 0 || n == len(preface) || string(buffer[:n]) != preface[:n]
	})
	if err == nil {
		err = peekErr
	}
	if err == nil && n == 0 {
		err = io.EOF
	}
	if err == nil {
		err = conn.SetReadDeadline(time.Time{})
	}
	if err != nil {
		return false, fmt.Errorf("peek at %s: %w", conn.RemoteAddr(), err)
	}
	return string(buffer[:n]) == preface, nil
}

// peekBytes uses package syscall as package net does, so that the race detector sees both as accesses to the same connection.
func peekBytes(fd uintptr, buffer []byte) (int, error) {
	for {
		n, _, err := syscall.Recvfrom(int(fd), buffer, syscall.MSG_PEEK)
		if err != syscall.EINTR {
			return max(n, 0), err
		}
	}
}
