import { mappings, PagingContext, translate, type TableReader } from '@retrap/paging'

// Four-level tables at 0x1000: the first 2 MiB of linear addresses are one large, read-only user page.
const memory = new Map([
  [0x1000, 0x2007],
  [0x2000, 0x3007],
  [0x3000, 0x60_0085],
])
const reader: TableReader = {
  read32: () => false,
  read64: (gpa, into) => {
    into.set([memory.get(gpa) ?? 0, 0])
    return true
  },
  compareExchange32: () => true,
  compareExchange64: () => true,
}

const context = new PagingContext({ maxPhysicalBits: 40, pages1G: true, pse36: true, amd: false })
context.configure(0x8001_0001, 0x1000, 0, 0x20, 0x500)

for (const write of [false, true]) {
  const found = translate(context, reader, 0x12_3456n, { user: true, write })
  if (found.kind === 'mapped') console.log(`0x${found.gpa.toString(16)}`)
  if (found.kind === 'fault') console.log(`#PF(${found.pfec})`)
}
for (const { linear, gpa, pageBytes } of mappings(context, reader)) {
  console.log(`${linear} → 0x${gpa.toString(16)}, ${pageBytes >> 20} MiB`)
}

// Output:
// 0x723456
// #PF(7)
// 0 → 0x600000, 2 MiB
