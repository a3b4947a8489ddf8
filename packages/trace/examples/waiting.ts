// A guest asks a device that takes its time. The trace shows what it did, and which access waited.
import { defineDevice } from '@retrap/device'
import { createPc } from '@retrap/machine'
import { formatRecord, parseTrace, Tracer } from '@retrap/trace'
import { Assembler, dword, dx, eax, imm16, imm32 } from '@retrap/x86-assembler'

const price = defineDevice({
  name: 'price',
  mmio: { base: 0xfed9_0000, size: 0x1000 },
  async read() {
    await new Promise((resolve) => setTimeout(resolve, 10)) // ask the stock exchange
    return 7
  },
})
const base = 0x10_0000
const asm = new Assembler({ bits: 32, address: base })
const entry = asm.label('entry')
asm.dd(0x1bad_b002, 0x1_0000, -(0x1bad_b002 + 0x1_0000), base, base, 0, 0, entry).bind(entry)
asm.mov(eax, dword(0xfed9_0000))
asm.mov(dx, imm16(0x604)).mov(eax, imm32(0x2000)).out(dx, eax).hlt()

const tracer = new Tracer([parseTrace('insn,limit=2'), parseTrace('ioreq,device=price')], (record) =>
  // Times are left out here: they differ from run to run.
  console.log(formatRecord(record).replace(/^\[.*?\] | after .*/g, '')),
)
const kernel = asm.assemble().bytes
const pc = await createPc({ memoryBytes: 16 << 20, kernel, devices: [price], trace: tracer.access })
tracer.attach(pc.domain)
await pc.run()

// Output:
// vcpu 0 insn 00100020: mov eax, dword ptr ds:[0xfed90000]
// vcpu 0 ioreq price sent: mmio read of 4 bytes at 0xfed90000
// vcpu 0 ioreq price answered: mmio read of 4 bytes at 0xfed90000 = 0x7
// vcpu 0 insn 00100025: mov dx, 0x604
