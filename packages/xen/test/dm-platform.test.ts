/** What an emulator asks of a domain by dm_op, as bytes: Xen's public header hvm/dm_op.h. */
import { defineDevice } from '@retrap/device'
import { DM_ERRNO, DmOps } from '@retrap/ioreq'
import { P2mEntry, P2mType } from '@retrap/p2m'
import { al, byte, dword, eax, type Assembler } from '@retrap/x86-assembler'
import { describe, expect, test } from 'vitest'
import { dmPlatform } from '../src/index.ts'
import { EXIT_PORT, Guest } from './support/guest.ts'

const DATA = 0x5_0000
const FRAME = DATA >>> 12
const HANDLER = 0x7000
const EFAULT = -DM_ERRNO.EFAULT
const EINVAL = -DM_ERRNO.EINVAL

type Field = readonly [offset: number, bytes: 1 | 2 | 4 | 8, value: number | bigint]

/** An operation's buffer: its number, padding, and fields at offsets of its structure. */
function operation(number: number, ...fields: readonly Field[]): Uint8Array {
  const bytes = new Uint8Array(32)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, number, true)
  for (const [offset, size, value] of fields) {
    if (size === 8) view.setBigUint64(8 + offset, BigInt(value), true)
    else if (size === 4) view.setUint32(8 + offset, Number(value), true)
    else if (size === 2) view.setUint16(8 + offset, Number(value), true)
    else view.setUint8(8 + offset, Number(value))
  }
  return bytes
}

const idle = (asm: Assembler): void => {
  const self = asm.label()
  asm.bind(self).hlt().jmp(self)
}

function make(program: (asm: Assembler) => void = idle) {
  const guest = new Guest(program)
  const ops = new DmOps(guest.domain.dispatch, { notify() {} }, 'emulator', dmPlatform(guest.domain))
  const run = (number: number, ...fields: readonly Field[]): number => ops.execute(operation(number, ...fields))
  const typeOf = (gfn: number): number => guest.domain.p2m.lookup(gfn, new P2mEntry())
  return { guest, ops, run, typeOf, domain: guest.domain }
}

describe('interrupts', () => {
  test('set_isa_irq drives the wire of the interrupt controllers', () => {
    const { run, domain } = make()
    const { i8259 } = domain.interrupts
    i8259.masterPorts.write(0, 1, 0x0a)
    const requests = (): number => i8259.masterPorts.read(0, 1) as number
    expect(requests() & 0x10).toBe(0)
    expect(run(9, [0, 1, 4], [1, 1, 1])).toBe(0)
    expect(requests() & 0x10).toBe(0x10)
    expect(run(9, [0, 1, 4], [1, 1, 0])).toBe(0)
    // Where the second controller is there is no wire; and no wire 16.
    expect(run(9, [0, 1, 2], [1, 1, 1])).toBe(EINVAL)
    expect(run(9, [0, 1, 16], [1, 1, 1])).toBe(EINVAL)
  })

  test('set_pci_intx drives the function’s wire, and the link that it is on, routed by set_pci_link', () => {
    const { run, domain } = make()
    const { i8259 } = domain.interrupts
    const wires: string[] = []
    domain.pciInterrupt = (device, pin) => ({
      set: (level) => void wires.push(`${device}.${pin}=${level}`),
      pulse: () => undefined,
    })
    i8259.masterPorts.write(0, 1, 0x0a)
    const seven = (): number => (i8259.masterPorts.read(0, 1) as number) & 0x80
    const intx = (device: number, pin: number, level: number): number =>
      run(8, [3, 1, device], [4, 1, pin], [5, 1, level])
    // Device 3, INTB: link 0.
    expect(run(10, [0, 1, 0], [1, 1, 7])).toBe(0)
    expect(intx(3, 1, 1)).toBe(0)
    expect(intx(3, 1, 1)).toBe(0)
    expect(intx(0, 0, 1)).toBe(0)
    expect(wires).toEqual(['3.2=true', '0.1=true'])
    expect(seven()).toBe(0x80)
    intx(3, 1, 0)
    expect(seven()).toBe(0x80)
    intx(0, 0, 0)
    expect(seven()).toBe(0)
    intx(3, 1, 1)
    // Routed elsewhere, and nowhere.
    expect(run(10, [0, 1, 0], [1, 1, 0])).toBe(0)
    expect(seven()).toBe(0)
    expect(intx(32, 0, 1)).toBe(EINVAL)
  })

  test('inject_msi reaches the local APIC that it names', async () => {
    const { run, guest } = make((asm) => {
      asm.mov(dword(0xfee0_00f0), 0x1ff).sti()
      idle(asm)
    })
    guest.program(HANDLER, 32, (asm) => void asm.mov(al, 5).out(EXIT_PORT, al).hlt())
    guest.vector(0x41, HANDLER)
    setTimeout(() => expect(run(14, [0, 4, 0x41], [8, 8, 0xfee0_0000])).toBe(0), 5)
    expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 5 })
  })
})

describe('inject_event', () => {
  /** Ends with the number of the vector that was taken, and notes the error code. */
  const vectors = (guest: Guest, vector: number, hasError: boolean): void => {
    guest.program(HANDLER, 32, (asm) => {
      if (hasError) asm.pop(eax).mov(dword(0x4000), eax)
      asm.mov(al, vector).out(EXIT_PORT, al).hlt()
    })
    guest.vector(vector, HANDLER)
  }
  const event = (vector: number, type: number, error = 0xffff_ffff, cr2: number | bigint = 0): Field[] => [
    [4, 1, vector],
    [5, 1, type],
    [8, 4, error],
    [16, 8, cr2],
  ]

  test('an exception with error code and CR2', async () => {
    const { run, guest } = make()
    vectors(guest, 14, true)
    expect(run(13, ...event(14, 3, 0x6, 0x1234_5678))).toBe(0)
    // One at a time.
    expect(run(13, ...event(13, 3, 0))).toBe(-DM_ERRNO.EBUSY)
    expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 14 })
    expect(guest.read32(0x4000)).toBe(6)
    expect(guest.state().registers['cr2']).toBe('0x12345678')
  })

  test('one without an error code, in a vCPU that is halted', async () => {
    const { run, guest } = make()
    vectors(guest, 6, false)
    setTimeout(() => expect(run(13, ...event(6, 3))).toBe(0), 5)
    expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 6 })
  })

  test('an interrupt that no controller knows of, whatever RFLAGS.IF says; and an NMI', async () => {
    const external = make()
    vectors(external.guest, 0x55, false)
    expect(external.run(13, ...event(0x55, 0))).toBe(0)
    expect(await external.guest.run()).toEqual({ reason: 'debug-exit', code: 0x55 })
    const nmi = make()
    vectors(nmi.guest, 2, false)
    expect(nmi.run(13, ...event(2, 2))).toBe(0)
    expect(await nmi.guest.run()).toEqual({ reason: 'debug-exit', code: 2 })
  })

  test('of a vCPU that there is not, of a kind that there is not, and of one that is a program’s own doing', () => {
    const { run } = make()
    expect(run(13, [0, 4, 1], ...event(6, 3))).toBe(EINVAL)
    expect(run(13, ...event(6, 1))).toBe(EINVAL)
    expect(run(13, ...event(3, 6))).toBe(-DM_ERRNO.EOPNOTSUPP)
  })
})

describe('memory', () => {
  test('set_mem_type makes ROM, RAM and holes, and stops at what it cannot change', async () => {
    const { run, typeOf, guest } = make((asm) => {
      asm.mov(byte(DATA), 1).mov(al, byte(DATA)).out(EXIT_PORT, al).hlt()
    })
    const type = (gfn: number, count: number, to: number): number => run(12, [0, 4, count], [4, 2, to], [8, 8, gfn])
    expect(type(FRAME, 2, 1)).toBe(0)
    expect([typeOf(FRAME), typeOf(FRAME + 1), typeOf(FRAME + 2)]).toEqual([
      P2mType.RAM_RO,
      P2mType.RAM_RO,
      P2mType.RAM_RW,
    ])
    expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 0 })
    expect(type(FRAME, 2, 0)).toBe(0)
    expect(typeOf(FRAME)).toBe(P2mType.RAM_RW)
    expect(type(FRAME, 2, 2)).toBe(0)
    expect(typeOf(FRAME)).toBe(P2mType.MMIO_DM)
    expect(type(FRAME, 1, 2)).toBe(0)
    // A hole does not become RAM; the frame before it has changed.
    expect(type(FRAME - 1, 2, 1)).toBe(EINVAL)
    expect(typeOf(FRAME - 1)).toBe(P2mType.RAM_RO)
    // HVMMEM_unused, and a number that is none; beyond what there can be.
    expect(type(FRAME - 2, 1, 3)).toBe(EINVAL)
    expect(type(FRAME - 2, 1, 9)).toBe(EINVAL)
    expect(run(12, [0, 4, 1], [4, 2, 0], [8, 8, 0xffff_ffff_ffff_ffffn])).toBe(EINVAL)
  })

  test('map_mem_type: the writes of some RAM are one server’s, until it lets go', () => {
    const { run, typeOf, ops, domain } = make()
    const create = operation(1)
    expect(ops.execute(create)).toBe(0)
    const server = create[12] as number
    const claim = (id: number, flags: number, type = 4): number => run(15, [0, 2, id], [2, 2, type], [4, 4, flags])
    const type = (to: number): number => run(12, [0, 4, 2], [4, 2, to], [8, 8, FRAME])
    // Nobody claims them yet.
    expect(type(4)).toBe(EINVAL)
    // Not the caller's server; no server; reads; another type.
    expect(claim(0, 2)).toBe(-DM_ERRNO.EPERM)
    expect(claim(7, 2)).toBe(-DM_ERRNO.ENOENT)
    expect(claim(server, 1)).toBe(EINVAL)
    expect(claim(server, 2, 0)).toBe(EINVAL)
    expect(claim(server, 2)).toBe(0)
    expect(claim(server, 2)).toBe(-DM_ERRNO.EBUSY)
    expect(type(4)).toBe(0)
    expect(typeOf(FRAME + 1)).toBe(P2mType.IOREQ_SERVER)
    expect(type(1)).toBe(EINVAL)
    expect(run(12, [0, 4, 1], [4, 2, 0], [8, 8, FRAME])).toBe(0)
    expect(typeOf(FRAME)).toBe(P2mType.RAM_RW)
    expect(claim(server, 0)).toBe(0)
    expect(typeOf(FRAME + 1)).toBe(P2mType.RAM_RW)
    expect(domain.p2m.writeClaim.server).toBe(-1)
    expect(claim(server, 0)).toBe(EINVAL)
  })

  test('track_dirty_vram says all at first, then what has been written', async () => {
    const { ops, guest, domain, typeOf } = make((asm) => {
      asm.mov(byte(DATA + 0x1000), 1).mov(byte(DATA + 0x9000), 1)
      asm.mov(al, 0).out(EXIT_PORT, al).hlt()
    })
    const bitmap = new Uint8Array(2)
    const track = (count: number): number => ops.execute(operation(7, [0, 4, count], [8, 8, FRAME]), bitmap)
    expect(track(10)).toBe(0)
    expect([...bitmap]).toEqual([0xff, 0xff])
    expect(track(10)).toBe(0)
    expect([...bitmap]).toEqual([0, 0])
    await guest.run()
    // A device writes, too.
    domain.guestMemory.write(DATA + 0x3000, Uint8Array.of(1))
    expect(track(10)).toBe(0)
    expect([...bitmap]).toEqual([0b1010, 0b10])
    expect(track(10)).toBe(0)
    expect([...bitmap]).toEqual([0, 0])
    // Too small a bitmap; too much.
    expect(track(17)).toBe(EINVAL)
    expect(track((1 << 18) + 1)).toBe(EINVAL)
    expect(track(0)).toBe(0)
    expect(typeOf(FRAME)).toBe(P2mType.RAM_RW)
  })

  test('modified_memory marks what is logged, and kills what has been decoded of it', async () => {
    const code = 0x6_0000
    const { ops, guest, domain } = make((asm) => {
      // The code at `code` returns a number; the device in between changes it behind the processor's back.
      asm.mov(eax, code).call(eax).out(0x70, al).mov(eax, code).call(eax).out(EXIT_PORT, al).hlt()
    })
    guest.program(code, 32, (asm) => void asm.mov(al, 1).ret())
    const log = domain.dirtyLogs.start(code >>> 12, 1)
    const extents = new Uint8Array(32)
    const view = new DataView(extents.buffer)
    view.setUint32(0, 1, true)
    view.setBigUint64(8, BigInt(code >>> 12), true)
    view.setUint32(16, 1, true)
    view.setBigUint64(24, BigInt(FRAME), true)
    const modified = (count: number): number => ops.execute(operation(11, [0, 4, count]), extents)
    domain.attach(
      defineDevice({
        name: 'patcher',
        synchronous: true,
        ports: { base: 0x70, size: 1 },
        write: () => {
          domain.memory.u8[domain.p2m.translate(code) + 1] = 2
          expect(modified(2)).toBe(0)
        },
      }),
    )
    expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 2 })
    expect(log.isDirty(code >>> 12)).toBe(true)
    // More extents than there are; padding.
    expect(modified(3)).toBe(EINVAL)
    view.setUint32(20, 1, true)
    expect(modified(2)).toBe(EINVAL)
  })

  test('relocate_memory moves RAM, contents and all', () => {
    const { run, guest, domain, typeOf } = make()
    domain.guestMemory.write(DATA, Uint8Array.of(0x11, 0x22, 0x33, 0x44))
    const far = 0x40_0000
    const relocate = (from: number, to: number, count: number): number =>
      run(17, [0, 4, count], [8, 8, from >>> 12], [16, 8, to >>> 12])
    expect(relocate(DATA, far, 2)).toBe(0)
    expect(guest.read32(far)).toBe(0x4433_2211)
    expect([typeOf(FRAME), typeOf(FRAME + 1), typeOf((far >>> 12) + 1)]).toEqual([
      P2mType.MMIO_DM,
      P2mType.MMIO_DM,
      P2mType.RAM_RW,
    ])
    // There is nothing any more.
    expect(relocate(DATA, far, 1)).toBe(EINVAL)
  })

  test('pin_mem_cacheattr is checked, and has no effect', () => {
    const { run } = make()
    expect(run(18, [0, 8, 0], [8, 8, 0xff], [16, 4, 6])).toBe(0)
    expect(run(18, [0, 8, 0], [8, 8, 0xff], [16, 4, 2])).toBe(EINVAL)
    expect(run(18, [0, 8, 2], [8, 8, 1], [16, 4, 6])).toBe(EINVAL)
  })
})

test.each([
  [0, { reason: 'power-off' }],
  [1, { reason: 'reset' }],
  [3, { reason: 'guest-shutdown', vcpu: 0, code: 'crash' }],
])('remote_shutdown for reason %i ends the domain', async (reason, exit) => {
  const { run, guest } = make()
  setTimeout(() => expect(run(16, [0, 4, reason])).toBe(0), 5)
  expect(await guest.run()).toEqual(exit)
})

test('operations of other architectures, and buffers that are too small', () => {
  const { run, ops } = make()
  expect(run(19, [0, 4, 40], [4, 1, 1])).toBe(-DM_ERRNO.EOPNOTSUPP)
  expect(ops.execute(operation(13).subarray(0, 31))).toBe(EFAULT)
})
