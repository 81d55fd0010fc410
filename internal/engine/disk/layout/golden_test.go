package layout

import (
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/posthaste-io/posthaste/internal/engine"
	"github.com/posthaste-io/posthaste/internal/vfs"
)

// update rewrites the golden files. A change of one is a change of the format: it needs a new version, and code that reads the old one.
var update = flag.Bool("update", false, "rewrite the golden files")

var sampleStore = StoreID{0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff}

const sampleTime = 1_767_355_200_123_000_000

// Samples of everything that is written: each field has another value.
var (
	sampleIdentity = Identity{Store: sampleStore, Created: sampleTime}
	sampleEpoch    = EpochMark{Epoch: 7, Segment: 8}
	sampleBlock    = RecordHeader{
		Kind: engine.KindBlock, Length: 300, BodyCRC: 0x01020304, Topic: 11, Count: 12,
		Stamp: engine.Stamp{First: 13, ID: 14, Time: sampleTime},
	}
	sampleNote    = RecordHeader{Kind: engine.KindNote, Length: 5, BodyCRC: 0x05060708}
	sampleCommit  = CommitHeader{Length: 4000, Seq: 21, Epoch: 22, At: At(8, 8192), Synced: At(7, 4096), Records: 23}
	sampleSegment = SegmentHeader{
		Flags: FlagCompacted, ID: 8, Prev: 7, PrevEnd: 12288, PrevSeq: 31, Size: 1 << 20, Created: sampleTime,
	}
	sampleSummaries = []Summary{{ID: 7, Flags: SummarySealed | SummaryFooted, End: 41, FileBytes: 42}, {ID: 8}}
)

func sampleCheckpoint() Checkpoint {
	return Checkpoint{
		Number: 3, Prev: 2, At: At(8, 8192), Seq: 51, Epoch: 52, NextID: 53, LastTime: sampleTime, NextSegment: 54, Segments: sampleSummaries,
	}
}

func sampleRun(topic engine.TopicID) Run {
	h := sampleBlock
	h.Topic = topic
	r := NewRun(&h)
	r.Add(&h, 4160)
	h.Stamp.First += engine.Offset(h.Count)
	h.Stamp.Time += 5_000_000
	r.Add(&h, 8192)
	return r
}

func sampleBody() Body {
	inMemory, listed := sampleRun(11), sampleRun(12)
	listed.Section, listed.CRC = 16384, 0x0a0b0c0d
	b := AppendTopic(nil, 11, 37, 1)
	b = AppendPlaced(b, 8, &inMemory)
	b = AppendTopic(b, 12, 37, 1)
	b = AppendPlaced(b, 7, &listed)
	return Body{Topics: 2, Index: b, Machine: []byte("the owner's state")}
}

// samples encodes them all: each is checked against a golden file of its name.
func samples() map[string][]byte {
	salt := sampleStore.Salt(8)
	block, note := make([]byte, BlockHeaderBytes), make([]byte, NoteHeaderBytes)
	sampleBlock.Encode(block, salt, 8256)
	sampleNote.Encode(note, salt, 8616)
	commit, segment := make([]byte, CommitHeaderBytes), make([]byte, SegmentHeaderBytes)
	sampleCommit.Encode(commit, salt)
	sampleSegment.Encode(segment, sampleStore)
	c, b := sampleCheckpoint(), sampleBody()
	checkpoint := append(c.encode(sampleStore, &b), append(b.Index, b.Machine...)...)
	footer, trailer := MakeFooter([]Run{sampleRun(11), sampleRun(12)}, 16384, sampleStore, 8, 12288)
	return map[string][]byte{
		"identity": sampleIdentity.encode(), "epoch": sampleEpoch.Encode(sampleStore), "block": block, "note": note, "commit": commit,
		"segment": segment, "checkpoint": checkpoint, "footer": footer[:4*EntryBytes+2*RowBytes], "trailer": trailer[:trailerBytes],
	}
}

func TestBytesAreThoseOfTheFormat(t *testing.T) {
	for name, b := range samples() {
		golden := filepath.Join("testdata", name+".hex")
		got := hex.Dump(b)
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s is encoded as\n%s, not as\n%s", name, got, want)
		}
	}
}

func TestDecodersGiveBackWhatWasEncoded(t *testing.T) {
	all := samples()
	var record RecordHeader
	var commit CommitHeader
	salt := sampleStore.Salt(8)
	check := func(name string, got, want any, ok bool) {
		t.Helper()
		if !ok || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v; want %+v", name, got, ok, want)
		}
	}
	identity, err := DecodeIdentity("", all["identity"])
	check("identity", identity, sampleIdentity, err == nil)
	epoch, err := DecodeEpochMark("", sampleStore, all["epoch"])
	check("epoch", epoch, sampleEpoch, err == nil)
	ok := record.Check(all["block"], salt, 8256)
	check("block", record, sampleBlock, ok)
	ok = record.Check(all["note"], salt, 8616)
	check("note", record, sampleNote, ok)
	ok = commit.check(all["commit"], salt, sampleCommit.At)
	check("commit", commit, sampleCommit, ok)
	segment, err := DecodeSegmentHeader(all["segment"], "", sampleStore, 8)
	check("segment", segment, sampleSegment, err == nil)

	mem := vfs.NewMem()
	c, b := sampleCheckpoint(), sampleBody()
	if err := WriteCheckpoint(mem, "/", sampleStore, &c, &b); err != nil {
		t.Fatal(err)
	}
	gotC, gotB, err := ReadCheckpoint(mem, CheckpointName(3), sampleStore, 3, true)
	if err != nil {
		t.Fatal(err)
	}
	check("checkpoint", *gotC, c, true)
	var topics []engine.TopicID
	whole := gotB.EachTopic(func(s *TopicState) bool {
		topics = append(topics, s.Topic)
		return s.Next == 37 && len(s.Runs) == 1
	})
	check("topics", topics, []engine.TopicID{11, 12}, whole && string(gotB.Machine) == string(b.Machine))
}

// TestNoBitMayBeWrong flips every bit of everything that has a checksum of its own.
func TestNoBitMayBeWrong(t *testing.T) {
	salt := sampleStore.Salt(8)
	for name, valid := range map[string]func([]byte) bool{
		"identity":   func(b []byte) bool { _, err := DecodeIdentity("", b); return err == nil },
		"epoch":      func(b []byte) bool { _, err := DecodeEpochMark("", sampleStore, b); return err == nil },
		"block":      func(b []byte) bool { return new(RecordHeader).Check(b, salt, 8256) },
		"note":       func(b []byte) bool { return new(RecordHeader).Check(b, salt, 8616) },
		"commit":     func(b []byte) bool { return new(CommitHeader).check(b, salt, sampleCommit.At) },
		"segment":    func(b []byte) bool { _, err := DecodeSegmentHeader(b, "", sampleStore, 8); return err == nil },
		"trailer":    func(b []byte) bool { _, err := decodeTrailer(b, sampleStore, 8); return err == nil },
		"checkpoint": checkpointIsValid,
	} {
		b := samples()[name]
		if !valid(b) {
			t.Errorf("%s is not valid as it is", name)
		}
		for i := range 8 * len(b) {
			b[i/8] ^= 1 << (i % 8)
			if valid(b) {
				t.Errorf("%s: bit %d of byte %d may be wrong", name, i%8, i/8)
			}
			b[i/8] ^= 1 << (i % 8)
		}
	}
}

func checkpointIsValid(b []byte) bool {
	mem := vfs.NewMem()
	if err := WriteFile(mem, "/", CheckpointName(3), b); err != nil {
		panic(err)
	}
	_, _, err := ReadCheckpoint(mem, CheckpointName(3), sampleStore, 3, true)
	return err == nil
}

// TestBytesHoldOnlyInTheirPlace moves things to another store, segment, place or name.
func TestBytesHoldOnlyInTheirPlace(t *testing.T) {
	all, salt, otherStore := samples(), sampleStore.Salt(8), StoreID{1}
	mem := vfs.NewMem()
	for _, number := range []uint64{3, 4} {
		if err := WriteFile(mem, "/", CheckpointName(number), all["checkpoint"]); err != nil {
			t.Fatal(err)
		}
	}
	read := func(store StoreID, number uint64) error {
		_, _, err := ReadCheckpoint(mem, CheckpointName(number), store, number, true)
		return err
	}
	_, epochErr := DecodeEpochMark("", otherStore, all["epoch"])
	_, storeErr := DecodeSegmentHeader(all["segment"], "", otherStore, 8)
	_, nameErr := DecodeSegmentHeader(all["segment"], "", sampleStore, 9)
	_, trailerOther := decodeTrailer(all["trailer"], otherStore, 8)
	_, trailerMoved := decodeTrailer(all["trailer"], sampleStore, 9)
	for what, accepted := range map[string]bool{
		"a record of another segment":       new(RecordHeader).Check(all["block"], sampleStore.Salt(9), 8256),
		"a record of another place":         new(RecordHeader).Check(all["block"], salt, 8264),
		"a commit of another segment":       new(CommitHeader).check(all["commit"], sampleStore.Salt(9), sampleCommit.At),
		"a commit of another place":         new(CommitHeader).check(all["commit"], salt, At(8, 12288)),
		"an epoch of another store":         epochErr == nil,
		"a segment of another store":        storeErr == nil,
		"a segment of another name":         nameErr == nil,
		"a trailer of another store":        trailerOther == nil,
		"a trailer of another segment":      trailerMoved == nil,
		"a checkpoint of another store":     read(otherStore, 3) == nil,
		"a checkpoint under another number": read(sampleStore, 4) == nil,
	} {
		if accepted {
			t.Errorf("%s is taken", what)
		}
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[string]FileKind{
		"lock": IgnoredFile, "lost+found": IgnoredFile, "identity": IdentityFile, "epoch": EpochFile,
		"seg-0000000000000001.log": SegmentFile, "checkpoint-0000000000000042": CheckpointFile, "spare-0000000000000007": SpareFile,
		"seg-0000000000000001.log.tmp": TempFile, "identity.tmp": TempFile, "epoch.tmp": TempFile,
		"seg-1.log": ForeignFile, "seg-0000000000000000.log": ForeignFile, "seg-0000000000000001": ForeignFile,
		"seg-000000000000000x.log": ForeignFile, "checkpoint-0000000000000042.log": ForeignFile, "lock.tmp": ForeignFile,
		"identity (copy)": ForeignFile, "README": ForeignFile, "": ForeignFile, "seg-0000000000000001.log.tmp.tmp": ForeignFile,
	} {
		if got, _ := ParseName(name); got != want {
			t.Errorf("%q is of kind %d, want %d", name, got, want)
		}
	}
}
