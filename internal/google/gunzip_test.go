package google

import (
	"bytes"
	"compress/gzip"
	"io"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/posthaste-io/posthaste/internal/limit"
)

func zipped(t *testing.T, plain []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestGunzipOpensWhatIsWhole(t *testing.T) {
	g := newGunzip()
	for _, size := range []int{0, 1, 1 << 20, limit.RequestBytesMax} {
		plain := bytes.Repeat([]byte("x"), size)
		if got, err := g.Do(bytes.NewReader(zipped(t, plain))); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%d bytes become %d, %v", size, len(got), err)
		}
	}
}

func TestGunzipMakesWhatIsBrokenIllegible(t *testing.T) {
	g := newGunzip()
	whole := zipped(t, bytes.Repeat([]byte("\x0a\x01x"), 1000))
	flipped := bytes.Clone(whole)
	flipped[len(flipped)-6] ^= 1 // the checksum
	for name, broken := range map[string][]byte{
		"empty": nil, "no gzip": []byte("hello"), "header only": whole[:10], "cut": whole[:len(whole)-1], "wrong checksum": flipped,
	} {
		got, err := g.Do(bytes.NewReader(broken))
		if err != nil || proto.Unmarshal(got, new(emptypb.Empty)) == nil {
			t.Errorf("%s: %d bytes that can be read, %v", name, len(got), err)
		}
	}
}

func TestGunzipStopsAtTheLimit(t *testing.T) {
	got, err := newGunzip().Do(bytes.NewReader(zipped(t, make([]byte, 3*limit.RequestBytesMax))))
	if err != nil || len(got) != limit.RequestBytesMax+1 {
		t.Errorf("%d bytes, %v; want one more than a request may have", len(got), err)
	}
}

// pause is a reader that tells when it is read and then waits.
type pause struct {
	reading chan<- struct{}
	until   <-chan struct{}
}

func (p pause) Read([]byte) (int, error) {
	p.reading <- struct{}{}
	<-p.until
	return 0, io.EOF
}

func TestGunzipWorksOnFewMessagesAtATime(t *testing.T) {
	g := newGunzip()
	reading, until := make(chan struct{}, 2*limit.GunzipsMax), make(chan struct{})
	var calls sync.WaitGroup
	for range 2 * limit.GunzipsMax {
		calls.Go(func() { _, _ = g.Do(pause{reading, until}) })
	}
	for range limit.GunzipsMax {
		<-reading
	}
	if len(g.slots) != limit.GunzipsMax || len(reading) != 0 {
		t.Errorf("%d slots are taken and %d more messages are read", len(g.slots), len(reading))
	}
	close(until)
	calls.Wait()
	if len(g.slots) != 0 {
		t.Errorf("%d slots are still taken", len(g.slots))
	}
}
