package google

import (
	"bytes"
	"compress/gzip"
	"testing"
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

func TestAnnouncedBytes(t *testing.T) {
	whole := zipped(t, make([]byte, 70_000))
	if n, ok := announcedBytes(whole); n != 70_000 || !ok {
		t.Errorf("70,000 bytes announce %d, %v", n, ok)
	}
	for name, none := range map[string][]byte{"empty": nil, "no gzip": []byte("hello, this is no gzip"), "header only": whole[:10]} {
		if n, ok := announcedBytes(none); ok {
			t.Errorf("%s: announces %d", name, n)
		}
	}
}
