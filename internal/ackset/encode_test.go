package ackset

import (
	"encoding/hex"
	"errors"
	"testing"
)

// TestEncodingStaysAsItIs: checkpoints outlive the program that wrote them.
func TestEncodingStaysAsItIs(t *testing.T) {
	for name, tc := range map[string]struct {
		fill func(*Set)
		want string
	}{
		"nothing":    {func(*Set) {}, "0100"},
		"floor":      {func(s *Set) { s.Reset(300) }, "01ac02"},
		"one ahead":  {func(s *Set) { s.Reset(3); s.Add(5) }, "0103" + "0b0501"},
		"page's end": {func(s *Set) { s.Add(4095) }, "0100" + "0bff1f01"},
		"full pages": {func(s *Set) { s.AddRange(8192, 81920) }, "0100" + "08" + "49"},
	} {
		t.Run(name, func(t *testing.T) {
			var s Set
			tc.fill(&s)
			if got := hex.EncodeToString(s.AppendBinary(nil)); got != tc.want {
				t.Fatalf("%s, want %s", got, tc.want)
			}
			verifyEncoding(t, &s)
		})
	}
}

func TestDamagedSetsAreRefused(t *testing.T) {
	for name, encoded := range map[string]string{
		"nothing":                "",
		"another version":        "0200",
		"no floor":               "01",
		"floor cut short":        "0180",
		"floor out of range":     "01ffffffffffffffffff01",
		"token of nothing":       "010001",
		"floor is done":          "010005",
		"reaches too far":        "010084808080808002",
		"bits cut short":         "010006ff",
		"runs cut short":         "01000b05",
		"runs past the page":     "01000b05ff7f",
		"bits below the floor":   "01050b0001",
		"many pages as bits":     "01000a" + "00",
		"floor is done, as runs": "01050b0501",
	} {
		t.Run(name, func(t *testing.T) {
			src, err := hex.DecodeString(encoded)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Decode(src); !errors.Is(err, ErrEncoding) {
				t.Fatalf("error %v", err)
			}
		})
	}
}
