package lease

const (
	slabBits = 10
	slabPage = 1 << slabBits
)

// slab is a growing array whose elements have numbers instead of addresses. It grows by pages, so that growing never copies millions of
// elements; only the first page doubles, since most subscriptions have a handful of messages out. Addresses do not survive add.
type slab[T any] struct {
	pages [][]T
	size  uint32
}

func (s *slab[T]) at(i uint32) *T { return &s.pages[i>>slabBits][i%slabPage] }

// add appends a zero element.
func (s *slab[T]) add() uint32 {
	i := s.size
	page := int(i >> slabBits)
	switch {
	case page > 0 && page == len(s.pages):
		s.pages = append(s.pages, make([]T, slabPage))
	case page == 0 && (i == 0 || int(i) == len(s.pages[0])):
		grown := make([]T, max(8, 2*i))
		if i == 0 {
			s.pages = append(s.pages, grown)
		} else {
			copy(grown, s.pages[0])
			s.pages[0] = grown
		}
	}
	s.size++
	return i
}

// cut forgets the elements from size on, and the memory of the pages behind them.
func (s *slab[T]) cut(size uint32) {
	pages := int((size + slabPage - 1) >> slabBits)
	clear(s.pages[pages:])
	s.pages = s.pages[:pages]
	if rest := size % slabPage; rest != 0 {
		clear(s.pages[pages-1][rest:])
	}
	s.size = size
}
