package process

import (
	"sync/atomic"
	"time"
	"unsafe"
)

// Disk is a broker's disk, which a test makes slow. It is safe for concurrent use.
type Disk struct {
	shared
	stall *atomic.Int64
}

// NewDisk makes a disk that is as fast as the machine's, on a file in the directory, which must stay as long as a broker uses it.
func NewDisk(dir string) (*Disk, error) {
	memory, err := share(dir, unsafe.Sizeof(atomic.Int64{}))
	if err != nil {
		return nil, err
	}
	return &Disk{memory, (*atomic.Int64)(unsafe.Pointer(unsafe.SliceData(memory.data)))}, nil
}

// Stall makes each sync of a file's data that begins from now on take that much longer.
func (d *Disk) Stall(by time.Duration) { d.stall.Store(int64(by)) }
