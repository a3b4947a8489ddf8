/** Whom a trace names for an interrupt that a PCI function has sent. */
import { defineDevice } from '@retrap/device'
import { createPc, type Pc } from '@retrap/machine'
import { al, Assembler, dword, dx, eax, esp, imm16, imm32, type Label, ptr } from '@retrap/x86-assembler'
import { expect, test } from 'vitest'
import { parseTrace, Tracer, type TraceRecord } from '../src/index.ts'

const BASE = 0x10_0000
const VECTOR = 0x41
const PORT = 0x5000
const APIC_SPURIOUS = 0xfee0_00f0
const APIC_EOI = 0xfee0_00b0

/** Has a device send as many messages, each after the last was taken. */
function kernel(messages: number): Uint8Array {
  const asm = new Assembler({ bits: 32, address: BASE })
  const [handler, idt, idtr, gdt, gdtr] = Array.from({ length: 5 }, () => asm.label()) as [
    Label,
    Label,
    Label,
    Label,
    Label,
  ]
  const entry = asm.label('entry')
  asm.dd(0x1bad_b002, 0x1_0000, -(0x1bad_b002 + 0x1_0000), BASE, BASE, 0, 0, entry)
  asm.bind(entry).mov(esp, imm32(0x20_0000)).lgdt(ptr(gdtr)).lidt(ptr(idtr))
  // All of the i8259 is masked.
  asm.mov(al, 0xff).out(0x21, al).out(0xa1, al).mov(dword(APIC_SPURIOUS), imm32(0x1ff))
  for (let i = 0; i < messages; i++) asm.mov(dx, imm16(PORT)).mov(al, i).out(dx, al).sti().hlt().cli()
  asm.mov(dx, imm16(0x604)).mov(eax, imm32(0x2000)).out(dx, eax).hlt()
  asm.bind(handler).mov(dword(APIC_EOI), imm32(0)).iretd()
  asm.align(8).bind(idt)
  for (let i = 0; i <= VECTOR; i++) asm.dw(handler.bits(0, 16), 8, 0x8e00, handler.bits(16, 16))
  asm
    .bind(idtr)
    .dw(8 * VECTOR + 7)
    .dd(idt)
  asm.align(8).bind(gdt).dd(0, 0, 0xffff, 0xcf_9a00, 0xffff, 0xcf_9200)
  asm.bind(gdtr).dw(23).dd(gdt)
  return asm.assemble().bytes
}

test('a message has the bus, device and function of its requester', async () => {
  const requesters = [0, 1, 7, 8, 0x20, 0x58, 0xf8, 0xff, 0x100, 0x1a3, 0xff00, 0xffff]
  const box: { pc?: Pc } = {}
  const sender = defineDevice({
    name: 'sender',
    stateless: true,
    synchronous: true,
    ports: [{ base: PORT, size: 1 }],
    read: () => 0,
    write: (_offset, _size, value) => box.pc!.domain.architecture.signalMsi(0xfee0_0000, VECTOR, requesters[value]!),
  })
  const pc = (box.pc = await createPc({
    memoryBytes: 16 << 20,
    kernel: kernel(requesters.length),
    devices: [sender],
    clock: 'deterministic',
    jit: false,
  }))
  const records: TraceRecord[] = []
  const tracer = new Tracer([parseTrace('irq')], (record) => records.push(record))
  tracer.attach(pc.domain)
  expect((await pc.run({ timeoutMs: 100_000 })).reason).toBe('power-off')
  tracer.detach()
  pc.close()
  expect(records.map((record) => record.kind === 'irq' && record.source)).toEqual(
    [
      ...['00:00.0', '00:00.1', '00:00.7', '00:01.0', '00:04.0', '00:0b.0', '00:1f.0', '00:1f.7'],
      ...['01:00.0', '01:14.3', 'ff:00.0', 'ff:1f.7'],
    ].map((name) => `message of ${name}`),
  )
})
