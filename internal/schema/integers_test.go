package schema

import "testing"

// Integers have short ways of their own through both encodings: these are the places where one ends and the long way begins.
func TestArraysOfIntegers(t *testing.T) {
	ints, longs := compile(t, avro, `{"type": "array", "items": "int"}`), compile(t, avro, `{"type": "array", "items": "long"}`)
	judge(t, ints, asJSON, []verdict{
		{`[]`, true}, {`[0]`, true}, {`[0,1, 2 ,	3]`, true}, {"[1\n,\r2\r\n]", true}, {`[-1,-0]`, true},
		{`[999999999,1000000000,2147483647,-2147483648]`, true}, {`[2147483648]`, false}, {`[-2147483649]`, false}, {`[9999999999]`, false},
		{`[00]`, false}, {`[01]`, false}, {`[1 2]`, false}, {`[1,]`, false}, {`[,1]`, false}, {`[1`, false}, {`[1,`, false}, {`1`, false},
		{`[1a]`, false}, {`[1.0]`, false}, {`[1e0]`, false}, {`[1:2]`, false}, {`[1}`, false}, {`[/]`, false}, {`[:]`, false}, {`["1"]`, false}, {`[1]1`, false},
	})
	judge(t, longs, asJSON, []verdict{{`[9223372036854775807,1]`, true}, {`[9223372036854775808]`, false}})
	judge(t, compile(t, avro, `"int"`), asJSON, []verdict{{`7`, true}, {` 7 `, true}, {`7,`, false}, {`7]`, false}, {``, false}, {` `, false}})
	judge(t, ints, asBinary, []verdict{
		{"\x00", true}, {"\x06\x01\x02\x7f\x00", true}, {"\x06\x01\x80\x01\x02\x00", true}, {"\x02\x01\x04\x02\x03\x00", true}, // the last in two blocks
		{"\x05\x06\x01\x02\x03\x00", true}, {"\x05\x04\x01\x02\x03\x00", false}, // three in three bytes, three in two
		{"\x06\x01\x02\x00", false}, {"\x06\x01\x02", false}, {"\x06", false}, {"\x02\x80", false}, {"\x02\x01\x00\x00", false},
		{"\x04\x01\xff\xff\xff\xff\x1f\x00", false}, {"\x04\x01\xff\xff\xff\xff\x0f\x00", true},
	})
	judge(t, longs, asBinary, []verdict{{"\x04\x01\xff\xff\xff\xff\x1f\x00", true}})
}
