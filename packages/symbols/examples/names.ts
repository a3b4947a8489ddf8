// Names of addresses and addresses of names, of a kernel's System.map.
import { SymbolTable, systemMapSymbols } from '@retrap/symbols'

const map = `ffffffff81000000 T _stext
ffffffff81000040 T start_kernel
ffffffff810001c0 t do_one_initcall
ffffffff82a00000 D init_task
ffffffff82a03000 D jiffies
`
const table = new SymbolTable(systemMapSymbols(new TextEncoder().encode(map)), 0n)
console.log(table.nameOf(0xffff_ffff_8100_0052n))
console.log(table.addressOf('init_task')?.toString(16))
console.log(table.find('do_').map(({ name, size }) => `${name}: ${size} bytes`))

// Output:
// start_kernel+0x12
// ffffffff82a00000
// [ 'do_one_initcall: 27262528 bytes' ]
