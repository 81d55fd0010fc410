package listen

import (
	"net"
	"sync"
)

// half is one server's share of the connections: a net.Listener whose Accept takes from a bounded backlog.
type half struct {
	addr    net.Addr
	backlog chan net.Conn
	done    chan struct{}

	mutex  sync.Mutex // orders offer and Close, so that no connection is left in a backlog that nobody reads
	closed bool
}

func newHalf(addr net.Addr) *half {
	return &half{addr: addr, backlog: make(chan net.Conn, backlogMax), done: make(chan struct{})}
}

// offer puts a connection into the backlog, or closes it when the half is closed or the backlog full. It never waits.
func (h *half) offer(conn net.Conn) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	if !h.closed {
		select {
		case h.backlog <- conn:
			return
		default:
		}
	}
	_ = conn.Close()
}

// Accept waits for a connection. After Close it answers net.ErrClosed.
func (h *half) Accept() (net.Conn, error) {
	select {
	case <-h.done:
		return nil, net.ErrClosed
	case conn := <-h.backlog:
		return conn, nil
	}
}

// Close refuses further connections and closes those that nobody accepted. It may be called again.
func (h *half) Close() error {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	if h.closed {
		return nil
	}
	h.closed = true
	close(h.done)
	for {
		select {
		case conn := <-h.backlog:
			_ = conn.Close()
		default:
			return nil
		}
	}
}

// Addr is the shared port's address.
func (h *half) Addr() net.Addr { return h.addr }
