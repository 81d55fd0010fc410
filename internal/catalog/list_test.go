package catalog

import (
	"encoding/base64"
	"fmt"
	"slices"
	"testing"

	"google.golang.org/grpc/codes"
)

func names(count int) []string {
	sorted := make([]string, count)
	for i := range sorted {
		sorted[i] = fmt.Sprintf("projects/p/topics/topic%06d", i)
	}
	return sorted
}

func TestPagesJoinToTheWholeList(t *testing.T) {
	for _, count := range []int{0, 1, 99, 100, 101, 1000, 2500} {
		for _, size := range []int32{0, 1, 7, 100, 1000, 1001, 1 << 30} {
			all, token, most := []string(nil), "", int(size)
			if size == 0 {
				most = 100
			}
			for {
				page, next, err := Page(names(count), size, token)
				if err != nil {
					t.Fatal(err)
				}
				if len(page) > min(most, 1000) || next != "" && len(page) == 0 {
					t.Fatalf("size %d: a page of %d, then %q", size, len(page), next)
				}
				all = append(all, page...)
				if token = next; token == "" {
					break
				}
			}
			if !slices.Equal(all, names(count)) {
				t.Errorf("%d names in pages of %d became %d", count, size, len(all))
			}
		}
	}
}

func TestPagesGoOnAfterANameThatIsGone(t *testing.T) {
	page, token, err := Page(names(10), 3, "")
	if err != nil || len(page) != 3 {
		t.Fatal(page, err)
	}
	left := slices.Delete(names(10), 1, 3) // the last name of the page among them
	page, _, err = Page(left, 3, token)
	if want := names(10)[3:6]; err != nil || !slices.Equal(page, want) {
		t.Errorf("%v, %v; want %v", page, err, want)
	}
}

func TestPageRefusals(t *testing.T) {
	_, _, err := Page(names(3), -1, "")
	refused(t, err, codes.InvalidArgument, "The value for page_size is too small. You passed -1 in the request, but the minimum value is 0.")
	good := PageToken("projects/p/topics/abc")
	changed := []byte(good)
	changed[3]++
	for _, token := range []string{"x", "!", "projects/p/topics/abc", good[:len(good)-2], good + "A", string(changed), "AAAAAA", base64.RawURLEncoding.EncodeToString([]byte("projects/p/topics/abc0000"))} {
		_, _, err := Page(names(3), 0, token)
		refused(t, err, codes.InvalidArgument, "You have passed an invalid argument to the service (argument=page_token).")
	}
}

func FuzzPageTokens(f *testing.F) {
	f.Add("", "projects/p/topics/abc")
	f.Add(PageToken("projects/p/topics/abc"), "")
	f.Fuzz(func(t *testing.T, token, name string) {
		if after, _, err := ParsePage(0, token); err == nil && token != "" && PageToken(after) != token {
			t.Fatalf("token %q of %q is not what would be given out", token, after)
		}
		if after, _, err := ParsePage(0, PageToken(name)); err != nil || after != name {
			t.Fatalf("%q came back as %q, %v", name, after, err)
		}
	})
}
