import { type Assembler, al, byte, dword, eax, ebx, dx, ecx, edx, edi, esi, esp } from '@retrap/x86-assembler'
import { describe, expect, test } from 'vitest'
import { plugState } from '../src/paravirtual.ts'
import type { EventUpcalls } from '../src/events/upcalls.ts'
import type { XenState } from '../src/xen-state.ts'
import { Guest } from './support/guest.ts'

const VECTOR = 0x55
/** vcpu_info of vCPU 0 in the shared page, which is mapped here. */
const SHARED = 0x3_0000
const PENDING = SHARED + 2048
const SELECTOR = SHARED + 4
const PORT = 3
/** Where the handler counts its calls, and the events it has found. */
const CALLS = 0x4000
const FOUND = 0x4004
const OPERATION = 0x4100
const EVENT_CHANNEL_OP = 32
const SEND = 4
const IOAPIC = 0xfec0_0000
const APIC = 0xfee0_0000
const EOI = APIC + 0xb0

/** How a handler ends, and how the guest asks for its interrupts. */
interface Method {
  readonly name: string
  /** HVM_PARAM_CALLBACK_IRQ as two words, or a vector of the vCPU's own. */
  readonly callback?: readonly [lo: number, hi: number]
  readonly own?: boolean
  /** Input of the I/O APIC that is programmed for it, and whether it is a level. */
  readonly input?: number
  readonly level?: boolean
  readonly i8259?: boolean
}

const METHODS: readonly Method[] = [
  { name: 'a vector of the vCPU’s own', own: true },
  { name: 'the callback vector', callback: [VECTOR, 2 << 24] },
  { name: 'a PCI pin', callback: [3 << 11, 1 << 24], input: 19, level: true },
  { name: 'a GSI, as a level', callback: [20, 0], input: 20, level: true },
  { name: 'a GSI, as an edge', callback: [5, 0], input: 5, level: false },
  { name: 'an ISA line of the i8259, as a level', callback: [5, 0], i8259: true, level: true },
  { name: 'an ISA line of the i8259, as an edge', callback: [5, 0], i8259: true, level: false },
]

/** Interrupts taken, and events found. */
const outcome = (guest: Guest): readonly number[] => [guest.read32(CALLS), guest.read32(FOUND)]

/** A guest that sends itself events and counts what comes of it. */
function eventGuest(method: Method, main: (asm: Assembler) => void): Guest & { readonly xen: XenState<EventUpcalls> } {
  const guest = new Guest((asm) => {
    const handler = asm.label()
    const start = asm.label()
    asm.jmp(start)
    asm.bind(handler)
    asm.push(eax)
    asm.inc(dword(CALLS))
    // The flag first, then what it stands for.
    asm.mov(byte(SHARED), 0).xor(eax, eax).xchg(dword(SELECTOR), eax)
    const nothing = asm.label()
    asm.test(eax, eax).jz(nothing).inc(dword(FOUND)).mov(dword(PENDING), 0).bind(nothing)
    if (method.i8259 === true) asm.mov(al, 0x20).out(0x20, al)
    else if (method.callback === undefined || method.input !== undefined) asm.mov(dword(EOI), 0)
    asm.pop(eax).iret()
    asm.bind(start)
    asm.mov(esp, 0x9_0000)
    // The gate of the handler.
    asm.mov(dword(0x8000 + 8 * VECTOR + 4), 0x0001_8e00)
    asm
      .mov(eax, handler)
      .and(eax, 0xffff)
      .or(eax, 0x0008_0000)
      .mov(dword(0x8000 + 8 * VECTOR), eax)
    asm.mov(dword(APIC + 0xf0), 0x1ff)
    if (method.input !== undefined) {
      const entry = VECTOR | (method.level === true ? 0x8000 : 0)
      asm.mov(dword(IOAPIC), 0x10 + 2 * method.input + 1).mov(dword(IOAPIC + 0x10), 0)
      asm.mov(dword(IOAPIC), 0x10 + 2 * method.input).mov(dword(IOAPIC + 0x10), entry)
    }
    if (method.i8259 === true) {
      asm.mov(dword(APIC + 0x350), 0x700)
      for (const [port, value] of [
        [0x20, 0x11],
        [0x21, VECTOR - 5],
        [0x21, 4],
        [0x21, 1],
        [0x21, 0xdf],
      ] as const) {
        asm.mov(al, value).out(port, al)
      }
      if (method.level === true) asm.mov(edx, 0x4d0).mov(al, 0x20).out(dx, al)
    }
    asm.mov(dword(OPERATION), PORT).sti()
    main(asm)
    asm.cli().mov(al, 0).out(0xf4, al)
  })
  const xen = plugState(guest.domain)
  const { p2m } = guest.domain
  p2m.remove(SHARED / 0x1000, p2m.translate(SHARED) / 0x1000)
  p2m.insert(SHARED / 0x1000, xen.events.info.mfn, 0, 0)
  xen.events.info.latch(false)
  expect(xen.events.channels.bindIpi(0)).toBe(PORT)
  if (method.own === true) xen.events.upcalls.setVector(0, VECTOR)
  else if (method.callback !== undefined) xen.events.upcalls.setCallback(...method.callback)
  return Object.assign(guest, { xen })
}

const send = (asm: Assembler): Assembler => asm.mov(eax, EVENT_CHANNEL_OP).mov(ebx, SEND).mov(ecx, OPERATION).vmcall()

describe.each(METHODS)('event delivery by $name', (method) => {
  test('each event is one interrupt', async () => {
    const guest = eventGuest(method, (asm) => {
      asm.mov(esi, 100)
      const again = asm.here()
      send(asm).nop().dec(esi).jnz(again)
    })
    expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 0 })
    expect(outcome(guest)).toEqual([100, 100])
  })

  test('events while interrupts are off are one, and not lost', async () => {
    const guest = eventGuest(method, (asm) => {
      asm.cli()
      send(asm)
      send(asm)
      asm.sti().nop().nop()
    })
    await guest.run()
    expect(outcome(guest)).toEqual([1, 1])
  })

  test('an event that the guest has seen to before its interrupt is no trouble', async () => {
    const guest = eventGuest(method, (asm) => {
      asm.cli()
      send(asm)
      asm.mov(byte(SHARED), 0).mov(dword(SELECTOR), 0).mov(dword(PENDING), 0)
      asm.sti().nop().nop()
      asm.mov(edi, 3)
      const again = asm.here()
      send(asm).nop().dec(edi).jnz(again)
    })
    await guest.run()
    // What came through a controller was on its way; the vector asks whether it is still wanted.
    const [calls, found] = outcome(guest)
    expect(found).toBe(3)
    expect([3, 4]).toContain(calls)
    if (method.callback?.[1] === 2 << 24) expect(calls).toBe(3)
  })

  test('an event from the host ends HLT', async () => {
    const guest = eventGuest(method, (asm) => {
      asm.hlt()
    })
    const { channel, guestPort } = guest.xen.events.channels.connectHost(() => {})
    expect(guestPort).toBe(PORT + 1)
    setTimeout(() => channel.send(), 20)
    await guest.run()
    expect(outcome(guest)).toEqual([1, 1])
  })
})

test('a vector for a vCPU whose local APIC is off comes when it is on', async () => {
  const guest = eventGuest({ name: '', own: true }, (asm) => {
    asm.mov(dword(APIC + 0xf0), 0xff)
    send(asm).nop().nop()
    asm.mov(eax, dword(CALLS)).mov(dword(0x4010), eax)
    asm.mov(dword(APIC + 0xf0), 0x1ff)
    // Until its next turn.
    asm.mov(ecx, 300_000)
    const again = asm.here()
    asm.dec(ecx).jnz(again)
  })
  await guest.run()
  expect(guest.read32(0x4010)).toBe(0)
  expect(outcome(guest)).toEqual([1, 1])
})

test('no callback, no interrupt; one that is set later finds what waits', async () => {
  const guest = eventGuest({ name: 'none' }, (asm) => {
    send(asm).nop()
    asm.hlt()
  })
  setTimeout(() => guest.xen.events.upcalls.setVector(0, VECTOR), 20)
  await guest.run()
  expect(outcome(guest)).toEqual([1, 1])
})

test('what says nothing that is known leaves the guest without callbacks', () => {
  const { upcalls } = eventGuest({ name: 'none' }, () => {}).xen.events
  for (const [lo, hi] of [
    [2, 0],
    [24, 0],
    [0xff, 0],
    [0xffff_ffff, 3 << 24],
    [0xffff_ffff, 0xffff_ffff],
    [0xffff_ffff, 0x01ff_ffff],
  ] as const) {
    upcalls.setCallback(lo, hi)
    upcalls.raise(0)
    expect(upcalls.callback).toEqual({ lo, hi })
    expect(upcalls.pendingVector(0)).toBe(0)
  }
})
