/** The test cases that reference/replay.md implies, with whole domains; those of the log alone are in `@retrap/replay`. */
import { defineDevice } from '@retrap/device'
import { XEN_DMOP_IO_RANGE_PORT, createIoRequest } from '@retrap/ioreq'
import { INVALID_MFN, P2mType } from '@retrap/p2m'
import {
  type Assembler,
  al,
  ax,
  byte,
  cr0,
  cr4,
  ds,
  dword,
  eax,
  ebp,
  ebx,
  ecx,
  edi,
  edx,
  es,
  esi,
  esp,
  far32,
  imm16,
  imm32,
  imm8,
  ptr,
  ss,
} from '@retrap/x86-assembler'
import { TEST_JIT } from '@retrap/tooling/jit'
import { sliceTests } from '@retrap/tooling/slice'
import { describe, expect } from 'vitest'
import { CODE, realClock, STACK, type Guest } from './support/guest.ts'
import * as G from './support/paged-guest.ts'

/** Interpreted, all of them. */
const test = sliceTests(TEST_JIT === false ? 1 : 4)

const APIC = 0xfee0_0000
const GOOD = 0x600d_da7a
const BAD = 0xbadb_adba

const bytes = (value: number): Uint8Array => new Uint8Array(new Uint32Array([value]).buffer)

/** The buffer in RAM is another party's from now on: other data, no PTE, and no table. */
function pageOut(guest: Guest, { data = true, entry = true, table = true } = {}): void {
  if (data) guest.domain.guestMemory.write(G.BUFFER_GPA, new Uint8Array(0x1000).fill(0xbb))
  if (entry) G.write32(guest, G.PT_HIGH, 0)
  if (!table) return
  G.write32(guest, G.PD + 4, 0)
  guest.domain.guestMemory.write(G.PT_HIGH, new Uint8Array(0x1000).fill(0xff))
}

/** The bootstrap processor sends INIT and SIPI to APIC 1, whose code is at 2000H. */
const startSecond = (asm: Assembler): Assembler =>
  asm
    .mov(dword(APIC + 0xf0), 0x1ff)
    .mov(dword(APIC + 0x310), 1 << 24)
    .mov(dword(APIC + 0x300), 0x4500)
    .mov(dword(APIC + 0x310), 1 << 24)
    .mov(dword(APIC + 0x300), 0x4602)

/** A second processor in protected mode with paging. */
function secondProgram(guest: Guest, build: (asm: Assembler) => void): void {
  guest.program(0x2000, 16, (asm) => {
    const gdtr = asm.label()
    const code = asm.label()
    asm.xor(ax, ax).mov(ds, ax).operandSize(32).lgdt(ptr(gdtr)).mov(eax, cr0).or(al, 1).mov(cr0, eax)
    asm.jmp(far32(8, code)).bind(gdtr).dw(23).dd(0x8800)
    asm
      .bits(32)
      .bind(code)
      .mov(ax, 0x10)
      .mov(ds, ax)
      .mov(es, ax)
      .mov(ss, ax)
      .mov(esp, STACK - 0x1000)
    G.page(asm)
    asm.mov(dword(APIC + 0xf0), 0x1ff)
    build(asm)
  })
}

describe('a guest pages memory out under an instruction', () => {
  test('a buffer is paged out between two passes', async () => {
    // Between the processors: the device is busy; the page is out; the other has let go of the translation.
    const [BUSY, OUT, RELEASED] = [0x4100, 0x4104, 0x4108]
    const NEW_FRAME = 0x5_2000
    const device = new G.SlowDevice()
    const swap: number[] = []
    const disk = defineDevice({
      name: 'disk',
      synchronous: true,
      ports: { base: 0x300, size: 4 },
      read: () => swap.shift() ?? 0,
      write: (_offset, _size, value) => void swap.push(value),
    })
    const guest = G.pagedGuest(
      (asm) => {
        startSecond(asm)
        asm.sti().mov(esi, G.BUFFER).mov(edi, G.DEVICE).movsd()
        asm.mov(eax, dword(G.BUFFER)).mov(dword(G.RESULT), eax)
        G.leave(asm)
      },
      device,
      { vcpus: 2, clock: realClock(), devices: [disk] },
    )
    guest.domain.guestMemory.write(G.BUFFER_GPA, bytes(GOOD))
    secondProgram(guest, (asm) => {
      const wait = asm.here()
      asm.pause().cmp(dword(BUSY), 1).jne(wait)
      // To disk, out of the tables, and a word to the other processor.
      asm.mov(esi, G.BUFFER).mov(ecx, 0x400).mov(edx, 0x300).rep().outsd()
      asm.mov(dword(G.PT_HIGH), 0).invlpg(byte(G.BUFFER)).mov(dword(OUT), 1)
      asm.mov(dword(APIC + 0x310), 0).mov(dword(APIC + 0x300), 0x4060)
      const answer = asm.here()
      asm.pause().cmp(dword(RELEASED), 1).jne(answer)
      // The frame is somebody else's now.
      asm.mov(edi, G.BUFFER_GPA).mov(ecx, 0x400).mov(eax, BAD).rep().stosd()
      asm.mov(dword(RELEASED), 2)
      const idle = asm.here()
      asm.hlt().jmp(idle)
    })
    guest.vector(0x60, 0x7200)
    guest.program(0x7200, 32, (asm) => {
      asm
        .invlpg(byte(G.BUFFER))
        .mov(dword(RELEASED), 1)
        .mov(dword(APIC + 0xb0), 0)
        .iretd()
    })
    // The page fault handler counts, waits until the page is out, and brings it back in another frame.
    guest.program(0x7100, 32, (asm) => {
      asm.pushad().inc(dword(G.RESULT + 4))
      const wait = asm.here()
      asm.pause().cmp(dword(RELEASED), 2).jne(wait)
      asm.mov(edi, NEW_FRAME).mov(ecx, 0x400).mov(edx, 0x300).rep().insd()
      asm
        .mov(dword(G.PT_HIGH), NEW_FRAME | 7)
        .popad()
        .add(esp, 4)
        .iretd()
    })
    device.between = async () => {
      guest.domain.guestMemory.write(BUSY, bytes(1))
      while (guest.read32(OUT) === 0) await new Promise((resolve) => setImmediate(resolve))
    }
    expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 0 })
    expect(device.seen).toEqual([`write 0/4=${GOOD.toString(16)}`])
    // MOVSD did not fault; the load after it did, once, and found the data.
    expect(guest.read32(G.RESULT + 4)).toBe(1)
    expect(guest.read32(G.RESULT)).toBe(GOOD)
    expect(guest.read32(G.BUFFER_GPA)).toBe(BAD)
  })

  const load = (asm: Assembler): void => {
    // PUSHes of RAM and of a device: three passes with the tables as they were in the first.
    asm.mov(esi, G.BUFFER).mov(edi, G.DEVICE).movsd()
    G.leave(asm)
  }

  test.each([
    ['the PTE is cleared between passes', (guest: Guest) => pageOut(guest, { data: false, table: false })],
    [
      'the page is remapped between passes',
      (guest: Guest) => {
        guest.domain.guestMemory.write(G.OTHER_GPA, bytes(BAD))
        G.write32(guest, G.PT_HIGH, G.OTHER_GPA | 7)
      },
    ],
    ['the page table is freed between passes', (guest: Guest) => pageOut(guest, { data: false, entry: false })],
    ['all of the tables are freed between passes', (guest: Guest) => pageOut(guest)],
  ])('%s', async (_name, change) => {
    const device = new G.SlowDevice()
    const guest = G.pagedGuest(load, device)
    guest.domain.guestMemory.write(G.BUFFER_GPA, bytes(GOOD))
    device.between = () => change(guest)
    expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 0 })
    expect(device.seen).toEqual([`write 0/4=${GOOD.toString(16)}`])
  })
})

describe('the delivery of an event is a unit of its own', () => {
  test('its vector is latched before its first access, whatever comes up while it waits', async () => {
    const device = new G.SlowDevice()
    const guest = G.pagedGuest((asm) => {
      asm.mov(dword(APIC + 0xf0), 0x1ff).mov(dword(APIC + 0x300), 0x4_0040)
      // The frame goes to the device.
      asm
        .mov(esp, G.DEVICE + 0x100)
        .sti()
        .nop()
        .hlt()
    }, device)
    for (const vector of [0x40, 0x80]) {
      guest.vector(vector, 0x7000 + 4 * vector)
      guest.program(0x7000 + 4 * vector, 32, (asm) => {
        asm
          .mov(eax, dword(G.RESULT))
          .mov(dword(eax, { disp: G.RESULT + 4 }), vector)
          .add(dword(G.RESULT), 4)
        // The second comes as soon as the first lets it, and goes to another stack.
        asm.mov(esp, STACK)
        if (vector === 0x40) asm.sti().nop().nop()
        G.leave(asm)
      })
    }
    device.between = (access) => {
      if (access === 1) guest.domain.interrupts.signalMsi(0xfee0_0000, 0x80)
    }
    expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 0 })
    expect([guest.read32(G.RESULT + 4), guest.read32(G.RESULT + 8)]).toEqual([0x40, 0x80])
    // EFLAGS, CS and EIP, once each.
    expect(device.seen.map((access) => access.split('=')[0])).toEqual(['write fc/4', 'write f8/4', 'write f4/4'])
    expect(device.seen[1]).toBe('write f8/4=8')
  })
})

describe('repeated string instructions go to a device in requests of several iterations', () => {
  const run = async (build: (asm: Assembler) => void, values: readonly number[] = []) => {
    const device = new G.SlowDevice(values)
    const guest = G.pagedGuest((asm) => {
      build(asm)
      asm
        .mov(dword(G.RESULT), ecx)
        .mov(dword(G.RESULT + 4), esi)
        .mov(dword(G.RESULT + 8), edi)
      G.leave(asm)
    }, device)
    const requests: string[] = []
    const { dispatch } = guest.domain
    const submit = dispatch.submit.bind(dispatch)
    dispatch.submit = (vcpu, request) => {
      requests.push(`${request.count}${request.df ? ' down' : ''}`)
      return submit(vcpu, request)
    }
    guest.domain.guestMemory.write(
      G.BUFFER_GPA,
      Uint8Array.from({ length: 0x2000 }, (_, i) => i),
    )
    guest.vector(1, 0x7300)
    guest.program(0x7300, 32, (asm) => void asm.inc(dword(G.RESULT + 12)).iretd())
    expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 0 })
    const [count, from, to] = [0, 4, 8].map((at) => guest.read32(G.RESULT + at))
    return { guest, device, requests, count, from, to }
  }

  test('REP MOVSD from RAM to a device, across pages of each', async () => {
    const at = { from: G.OTHER - 8, to: G.DEVICE + 0x1000 - 12 }
    const { requests, device, count, from, to } = await run((asm) =>
      asm.mov(esi, at.from).mov(edi, at.to).mov(ecx, 6).rep().movsd(),
    )
    // Two up to the end of the source's page, one, which is an access like any other, to that of the device's, three more.
    expect(requests).toEqual(['2', '3'])
    expect(device.seen.map((access) => access.split('=')[0])).toEqual([
      ...['write ff4/4', 'write ff8/4', 'write ffc/4', 'write 1000/4', 'write 1004/4', 'write 1008/4'],
    ])
    expect([count, from, to]).toEqual([0, at.from + 24, at.to + 24])
  })

  test('REP MOVSB from a device to RAM, downwards', async () => {
    const { requests, guest, device, count, from, to } = await run(
      (asm) =>
        asm
          .std()
          .mov(esi, G.DEVICE + 5)
          .mov(edi, G.OTHER + 3)
          .mov(ecx, 6)
          .rep()
          .movsb()
          .cld(),
      [1, 2, 3, 4, 5, 6],
    )
    // Four to the beginning of the destination's page, two in the page below.
    expect(requests).toEqual(['4 down', '2 down'])
    expect(device.seen).toEqual([5, 4, 3, 2, 1, 0].map((offset) => `read ${offset}/1`))
    const memory = new Uint8Array(4)
    guest.domain.guestMemory.read(G.OTHER_GPA, memory)
    expect([...memory]).toEqual([4, 3, 2, 1])
    expect([count, from, to]).toEqual([0, G.DEVICE - 1, G.OTHER - 3])
  })

  test('REP MOVSW between devices, one iteration a request', async () => {
    const { requests, device } = await run(
      (asm) =>
        asm
          .mov(esi, G.DEVICE)
          .mov(edi, G.DEVICE + 0x100)
          .mov(ecx, 2)
          .rep()
          .movsw(),
      [0x1111, 0x2222],
    )
    expect(requests).toEqual([])
    expect(device.seen).toEqual(['read 0/2', 'write 100/2=1111', 'read 2/2', 'write 102/2=2222'])
  })

  test('REP STOSD to a device, whose value goes with the request', async () => {
    const { requests, device, count, to } = await run((asm) =>
      asm
        .mov(eax, 0x1234_5678)
        .mov(edi, G.DEVICE + 0xff8)
        .mov(ecx, 5)
        .rep()
        .stosd(),
    )
    expect(requests).toEqual(['2', '3'])
    expect(device.seen).toEqual(
      [0xff8, 0xffc, 0x1000, 0x1004, 0x1008].map((offset) => `write ${offset.toString(16)}/4=12345678`),
    )
    expect([count, to]).toEqual([0, G.DEVICE + 0x100c])
  })

  test('an element across two pages goes alone', async () => {
    const { requests, device } = await run((asm) =>
      asm
        .mov(esi, G.OTHER - 6)
        .mov(edi, G.DEVICE)
        .mov(ecx, 3)
        .rep()
        .movsd(),
    )
    expect(requests).toEqual([])
    expect(device.seen).toHaveLength(3)
  })

  test('one iteration a request while single-stepping, each with its trap', async () => {
    const { requests, guest } = await run((asm) => {
      asm.pushfd().or(dword(esp), 0x100).mov(esi, G.BUFFER).mov(edi, G.DEVICE).mov(ecx, 3).popfd().rep().movsb()
      asm.pushfd().and(dword(esp), imm32(0xffff_feff)).popfd()
    })
    expect(requests).toEqual([])
    // One trap an iteration; then one each for PUSHFD and AND.
    expect(guest.read32(G.RESULT + 12)).toBe(6)
  })

  test('a request beyond the end of a device’s range is made element by element', async () => {
    // The device has four ports; a word at the last of them is nobody's.
    const { device } = await run((asm) => asm.mov(esi, G.BUFFER).mov(edx, 0x80).mov(ecx, 3).rep().outsb())
    expect(device.seen).toEqual(['write 0/1=0', 'write 0/1=1', 'write 0/1=2'])
    const end = await run((asm) =>
      asm
        .mov(esi, G.BUFFER)
        .mov(edi, G.DEVICE + 0x3ffc)
        .mov(ecx, 2)
        .rep()
        .movsd(),
    )
    expect(end.device.seen).toEqual(['write 3ffc/4=3020100'])
    expect([end.count, end.from, end.to]).toEqual([0, G.BUFFER + 8, G.DEVICE + 0x4004])
  })

  test.each([
    ['MOVSD to a device', (asm: Assembler) => asm.mov(esi, G.BUFFER).mov(edi, G.DEVICE).mov(ecx, 6).rep().movsd()],
    ['MOVSD from a device', (asm: Assembler) => asm.mov(esi, G.DEVICE).mov(edi, G.BUFFER).mov(ecx, 6).rep().movsd()],
    ['STOSD', (asm: Assembler) => asm.mov(eax, 7).mov(edi, G.DEVICE).mov(ecx, 6).rep().stosd()],
    ['OUTSB', (asm: Assembler) => asm.mov(edx, 0x80).mov(esi, G.BUFFER).mov(ecx, 6).rep().outsb()],
    ['INSB', (asm: Assembler) => asm.mov(edx, 0x80).mov(edi, G.BUFFER).mov(ecx, 6).rep().insb()],
  ])('an interrupt that comes up while one waits for REP %s changes nothing', async (_name, build) => {
    const device = new G.SlowDevice()
    const guest = G.pagedGuest((asm) => {
      asm.mov(dword(APIC + 0xf0), 0x1ff)
      build(asm)
      asm.mov(dword(G.RESULT), ecx)
      G.leave(asm)
    }, device)
    device.between = (access) => {
      if (access === 2) guest.domain.interrupts.signalMsi(0xfee0_0000, 0x40)
    }
    expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 0 })
    expect(device.seen).toHaveLength(6)
    expect(guest.read32(G.RESULT)).toBe(0)
  })

  test('a page fault after some iterations leaves what they have done', async () => {
    const device = new G.SlowDevice()
    const guest = G.pagedGuest((asm) => {
      asm
        .mov(esi, G.OTHER + 0xffc)
        .mov(edi, G.DEVICE)
        .mov(ecx, 3)
        .rep()
        .movsd()
      G.leave(asm, 1)
    }, device)
    guest.program(0x7100, 32, (asm) => {
      asm.mov(dword(G.RESULT), ecx).mov(dword(G.RESULT + 4), esi)
      G.leave(asm, 14)
    })
    G.write32(guest, G.PT_HIGH + 8, 0)
    expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 14 })
    expect(device.seen).toHaveLength(1)
    expect([guest.read32(G.RESULT), guest.read32(G.RESULT + 4)]).toEqual([2, G.OTHER + 0x1000])
  })
})

describe('reference/replay.md, "Test cases this implies"', () => {
  test('MOVS RAM→MMIO; between passes unmap source, change its data, free its page table: device sees pass-1 data once', async () => {
    const device = new G.SlowDevice()
    const guest = G.pagedGuest((asm) => {
      asm
        .mov(esi, G.BUFFER + 2)
        .mov(edi, G.DEVICE)
        .movsd()
        .mov(dword(G.RESULT), esi)
      G.leave(asm)
    }, device)
    guest.domain.guestMemory.write(G.BUFFER_GPA + 2, bytes(GOOD))
    device.between = () => pageOut(guest)
    expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 0 })
    expect(device.seen).toEqual([`write 0/4=${GOOD.toString(16)}`])
    expect(guest.read32(G.RESULT)).toBe(G.BUFFER + 6)
  })

  test('PUSH [mmio], stack paged out while the read is pending: no #PF, and the device is read once', async () => {
    // The destination is checked before a device is read, so that the read need not be made again.
    const device = new G.SlowDevice([GOOD])
    const guest = G.pagedGuest((asm) => {
      asm
        .mov(esp, G.BUFFER + 0x100)
        .push(dword(G.DEVICE))
        .mov(esp, STACK)
      G.leave(asm)
    }, device)
    device.between = () => pageOut(guest, { data: false, table: false })
    const exit = await guest.run()
    expect(device.seen).toEqual(['read 0/4'])
    expect(exit).toEqual({ reason: 'debug-exit', code: 0 })
    expect(guest.read32(G.BUFFER_GPA + 0xfc)).toBe(GOOD)
  })

  test('CMPSB with both operands one address; other vCPU writes between: values may differ, replay stable', async () => {
    // Two bytes of each operand are RAM, two the device's.
    const device = new G.SlowDevice([0x1111, 0x1111])
    const guest = G.pagedGuest((asm) => {
      asm
        .mov(esi, G.DEVICE - 2)
        .mov(edi, G.DEVICE - 2)
        .cmpsd()
        .pushfd()
        .pop(eax)
        .mov(dword(G.RESULT), eax)
      G.leave(asm)
    }, device)
    guest.domain.guestMemory.write(G.DEVICE - 2, Uint8Array.of(5, 5))
    // The second operand, read after the first wait, sees the new bytes; the first keeps its own.
    device.between = (access) =>
      void guest.domain.guestMemory.write(G.DEVICE - 2, access === 1 ? Uint8Array.of(4, 4) : Uint8Array.of(9, 9))
    expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 0 })
    expect(device.seen).toEqual(['read 0/2', 'read 0/2'])
    // 11110505H − 11110404H: no borrow, not zero.
    expect(guest.read32(G.RESULT) & 0x41).toBe(0)
  })

  test('ENTER nesting whose pushed slot aliases a later frame read: sees own write', async () => {
    const run = async (base: number): Promise<readonly number[]> => {
      const device = new G.SlowDevice()
      const guest = G.pagedGuest((asm) => {
        // EBP is pushed where the frame pointer of level 1 is read: EBP − 4 = ESP − 4.
        asm.mov(ebp, base).mov(esp, base).enter(imm16(0), imm8(3))
        asm
          .mov(dword(G.RESULT), esp)
          .mov(dword(G.RESULT + 4), ebp)
          .mov(esp, STACK)
        G.leave(asm)
      }, device)
      expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 0 })
      const stack = [1, 2, 3, 4].map((i) => guest.read32(base - 4 * i))
      return [guest.read32(G.RESULT) - base, guest.read32(G.RESULT + 4) - base, ...stack.map((v) => v - base)]
    }
    // EBP, then the slots of levels 1 and 2, which are what was just pushed, then the new frame's pointer.
    expect(await run(G.BUFFER_GPA + 0x800)).toEqual([-16, -4, 0, 0, 0, -4])
  })

  test('ENTER whose frames are partly a device’s pushes and reads each slot once', async () => {
    const device = new G.SlowDevice([0x11, 0x22])
    const guest = G.pagedGuest((asm) => {
      // Frame pointers of the outer levels are the device's; the pushes go to RAM.
      asm
        .mov(ebp, G.DEVICE + 8)
        .mov(esp, G.OTHER + 0x100)
        .enter(imm16(0), imm8(3))
      asm.mov(dword(G.RESULT), esp).mov(esp, STACK)
      G.leave(asm)
    }, device)
    expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 0 })
    expect(device.seen).toEqual(['read 4/4', 'read 0/4'])
    const stack = [1, 2, 3, 4].map((i) => guest.read32(G.OTHER_GPA + 0x100 - 4 * i))
    expect(stack).toEqual([G.DEVICE + 8, 0x11, 0x22, G.OTHER + 0xfc])
  })

  test.each([
    ['RAM/MMIO', G.DEVICE - 0x20, 0],
    ['MMIO/RAM', G.OTHER - 0x20, 0x1000 - 0x20],
  ])('64-byte store straddling %s', async (name, at, deviceOffset) => {
    // FXSAVE stores more than 64 bytes; those around the boundary are the XMM registers.
    const device = new G.SlowDevice()
    const guest = G.pagedGuest((asm) => {
      asm.mov(eax, cr4).or(eax, 0x200).mov(cr4, eax)
      asm.fxrstor(ptr(0x6_0000)).fxsave(ptr(at - 0xa0))
      G.leave(asm)
    }, device)
    if (name === 'MMIO/RAM') G.write32(guest, G.PT_HIGH, G.DEVICE | 7)
    const image = new Uint8Array(512)
    image[25] = 0x1f
    image[24] = 0x80
    for (let i = 0xa0; i < 0x120; i++) image[i] = i
    guest.domain.guestMemory.write(0x6_0000, image)
    device.between = () => void guest.domain.guestMemory.write(0x6_0000, new Uint8Array(512))
    expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 0 })
    const writes = new Map<number, number>()
    for (const access of device.seen) {
      const [, offset, size, value] = /^write (\w+)\/(\d)=(\w+)$/.exec(access) as unknown as string[]
      for (let i = 0; i < Number(size); i++) {
        const address = Number.parseInt(offset as string, 16) + i
        expect(writes.has(address)).toBe(false)
        writes.set(address, (Number.parseInt(value as string, 16) >>> (8 * i)) & 0xff)
      }
    }
    const ram = new Uint8Array(0x40)
    for (let i = 0; i < 0x40; i++) {
      const linear = at + i
      const isDevice = name === 'RAM/MMIO' ? linear >= G.DEVICE : linear < G.OTHER
      if (isDevice) ram[i] = writes.get(name === 'RAM/MMIO' ? linear - G.DEVICE : deviceOffset + i) ?? 0
      else {
        const one = new Uint8Array(1)
        guest.domain.guestMemory.read(name === 'RAM/MMIO' ? linear : linear - G.OTHER + G.OTHER_GPA, one)
        ram[i] = one[0] as number
      }
    }
    expect([...ram]).toEqual([...image.subarray(0xa0, 0xe0)])
  })

  test('REP INSW, DF=1, across page, server answering count less than asked', async () => {
    const requests: string[] = []
    const guest = G.pagedGuest((asm) => {
      // Down from 8 bytes into one page to 8 bytes below it, whose frames do not follow each other.
      asm
        .std()
        .mov(edi, G.OTHER + 6)
        .mov(ecx, 8)
        .mov(edx, 0x340)
        .rep()
        .insw()
        .cld()
      asm.mov(dword(G.RESULT), ecx).mov(dword(G.RESULT + 4), edi)
      G.leave(asm)
    }, new G.SlowDevice())
    const { domain } = guest
    G.write32(guest, G.PT_HIGH + 4, G.OTHER_GPA + 0x3000 + 7)
    // A server in another process: it takes requests from its page, and makes three elements at most.
    const request = createIoRequest()
    let next = 1
    const server = domain.dispatch.createServer({
      name: 'foreign',
      transport: {
        notify: (vcpu) => {
          setImmediate(() => {
            const slot = server.slot(vcpu)
            slot.accept(request)
            const made = Math.min(request.count, 3)
            const { addressLo, size, count, df, dataIsPointer, dataLo } = request
            requests.push(
              [addressLo, size, count, df, dataIsPointer, dataLo].map((v) => Number(v).toString(16)).join(' '),
            )
            if (dataIsPointer) {
              for (let i = 0; i < made; i++) domain.guestMemory.write(dataLo - i * size, Uint8Array.of(next, next++))
              slot.count = made
              slot.answer(0, 0)
            } else slot.answer(0x101 * next++, 0)
            server.answered(vcpu)
          })
        },
      },
    })
    server.mapRange(XEN_DMOP_IO_RANGE_PORT, 0x340, 0x341)
    server.setState(true)
    expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 0 })
    const [upper, lower] = [G.OTHER_GPA + 0x3000, G.BUFFER_GPA + 0x1000]
    expect(requests).toEqual([
      `340 2 4 1 1 ${(upper + 6).toString(16)}`,
      // One left in the page: alone, with its data in the request.
      `340 2 1 0 0 0`,
      `340 2 4 1 1 ${(lower - 2).toString(16)}`,
      `340 2 1 0 0 0`,
    ])
    expect(guest.read32(G.RESULT)).toBe(0)
    expect(guest.read32(G.RESULT + 4)).toBe(G.OTHER - 10)
    const memory = new Uint8Array(8)
    guest.domain.guestMemory.read(upper, memory)
    expect([...memory]).toEqual([4, 4, 3, 3, 2, 2, 1, 1])
    guest.domain.guestMemory.read(lower - 8, memory)
    expect([...memory]).toEqual([8, 8, 7, 7, 6, 6, 5, 5])
  })

  describe('p2m RAM→MMIO and MMIO→RAM while response pending', () => {
    test('RAM that has been read becomes a device: it is not asked', async () => {
      const device = new G.SlowDevice()
      const guest = G.pagedGuest((asm) => {
        asm.mov(esi, G.BUFFER).mov(edi, G.DEVICE).movsd()
        G.leave(asm)
      }, device)
      guest.domain.guestMemory.write(G.BUFFER_GPA, bytes(GOOD))
      const { p2m } = guest.domain
      device.between = () => p2m.insert(G.BUFFER_GPA >>> 12, INVALID_MFN, 0, P2mType.MMIO_DM)
      expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 0 })
      expect(device.seen).toEqual([`write 0/4=${GOOD.toString(16)}`])
    })

    test('a device that has been asked becomes RAM: its answer counts, and the RAM stays as it is', async () => {
      const device = new G.SlowDevice([GOOD])
      const guest = G.pagedGuest((asm) => {
        asm
          .mov(eax, dword(G.DEVICE))
          .mov(dword(G.RESULT), eax)
          .mov(ebx, 0x1234)
          .mov(dword(G.DEVICE + 0x1000), ebx)
        G.leave(asm)
      }, device)
      const { p2m } = guest.domain
      device.between = (access) => {
        p2m.populate((G.DEVICE >>> 12) + access - 1, 1)
        guest.domain.guestMemory.write(G.DEVICE + 0x1000 * (access - 1), bytes(BAD))
      }
      expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 0 })
      expect(device.seen).toEqual(['read 0/4', 'write 1000/4=1234'])
      expect(guest.read32(G.RESULT)).toBe(GOOD)
      expect(guest.read32(G.DEVICE + 0x1000)).toBe(BAD)
    })
  })

  test('INIT during pending read; late response; new request on same slot', async () => {
    const device = new G.SlowDevice([0x1111_1111, 0x2222_2222])
    const guest = G.pagedGuest((asm) => {
      asm.mov(eax, dword(G.DEVICE)).mov(dword(G.RESULT), eax)
      G.leave(asm, 1)
    }, device)
    // The only processor: INIT takes it to the reset vector, where it asks the device again.
    guest.domain.p2m.populate(0xfffff, 1)
    guest.program(0xffff_f000, 16, (asm) => {
      const start = asm.here()
      asm.xor(ax, ax).mov(ds, ax).operandSize(32).lgdt(ptr(0x8f00)).mov(eax, cr0).or(al, 1).mov(cr0, eax)
      asm.jmp(far32(8, 0x8_1000)).org(0xffff_fff0).jmp(start)
    })
    guest.domain.guestMemory.write(0x8f00, Uint8Array.of(23, 0, 0, 0x88, 0, 0))
    guest.program(0x8_1000, 32, (asm) => {
      asm.mov(ax, 0x10).mov(ds, ax).mov(ss, ax)
      asm.mov(eax, dword(G.DEVICE + 4)).mov(dword(G.RESULT + 4), eax)
      G.leave(asm, 2)
    })
    device.between = (access) => {
      if (access === 1) guest.domain.interrupts.signalMsi(0xfee0_0000, 0x500)
    }
    const exit = await guest.run()
    expect(device.seen).toEqual(['read 0/4', 'read 4/4'])
    expect(exit).toEqual({ reason: 'debug-exit', code: 2 })
    expect(guest.read32(G.RESULT)).toBe(0)
    expect(guest.read32(G.RESULT + 4)).toBe(0x2222_2222)
  })

  test('LOCK CMPXCHG loop with contention in emulated mode', async () => {
    // Each compare is a logged pass, because the operand lies half in the device.
    const device = new G.SlowDevice([0, 0, 0, 0, 0, 0, 0, 0])
    const guest = G.pagedGuest((asm) => {
      asm.xor(ecx, ecx).mov(eax, 0)
      const again = asm.here()
      asm
        .inc(ecx)
        .mov(edx, eax)
        .inc(edx)
        .lock()
        .cmpxchg(dword(G.DEVICE - 2), edx)
        .jne(again)
      asm.mov(dword(G.RESULT), ecx).mov(dword(G.RESULT + 4), eax)
      G.leave(asm)
    }, device)
    // Another party makes the first two compares fail.
    guest.domain.guestMemory.write(G.DEVICE - 2, Uint8Array.of(7, 0))
    let failures = 0
    device.between = () => {
      if (failures < 2) guest.domain.guestMemory.write(G.DEVICE - 2, Uint8Array.of(8 + failures++, 0))
    }
    expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 0 })
    const tries = guest.read32(G.RESULT)
    expect(tries).toBeGreaterThan(1)
    expect(tries).toBeLessThan(5)
    const value = new Uint8Array(2)
    guest.domain.guestMemory.read(G.DEVICE - 2, value)
    expect(value[0]).toBe(guest.read32(G.RESULT + 4) + 1)
    // One read and one write of the device's half a try.
    expect(device.seen).toHaveLength(2 * tries)
  })

  test('STI; MOV [mmio],eax: shadow survives passes', async () => {
    const device = new G.SlowDevice()
    const guest = G.pagedGuest((asm) => {
      asm.mov(dword(APIC + 0xf0), 0x1ff).xor(ecx, ecx)
      asm.mov(dword(APIC + 0x300), 0x4_0040)
      asm.sti().mov(dword(G.DEVICE), eax).inc(ecx).inc(ecx)
      G.leave(asm, 1)
    }, device)
    guest.vector(0x40, 0x7200)
    guest.program(0x7200, 32, (asm) => {
      asm.mov(dword(G.RESULT), ecx)
      asm.mov(eax, dword(esp)).mov(dword(G.RESULT + 4), eax)
      G.leave(asm)
    })
    expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 0 })
    // The interrupt waits for the store, through all of its passes, and comes before the next instruction.
    expect(device.seen).toHaveLength(1)
    expect(guest.read32(G.RESULT)).toBe(0)
    expect(guest.read32(G.RESULT + 4)).toBeGreaterThan(CODE)
  })

  test('Page walk: PTE cleared between passes: no #PF; A/D written once', async () => {
    const device = new G.SlowDevice([GOOD])
    const guest = G.pagedGuest((asm) => {
      asm.mov(esi, G.DEVICE).mov(edi, G.BUFFER).movsd()
      G.leave(asm)
    }, device)
    device.between = () => {
      // A and D may have been set by now; whoever clears the entry finds it clear at the end.
      G.write32(guest, G.PT_HIGH, 0)
      G.write32(guest, G.PD + 4, G.PT_HIGH | 7)
    }
    expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 0 })
    expect(guest.read32(G.BUFFER_GPA)).toBe(GOOD)
    expect(guest.read32(G.PT_HIGH)).toBe(0)
    expect(guest.read32(G.PD + 4)).toBe(G.PT_HIGH | 7)
  })

  test('A page table that is executed: what a walk has changed of it is executed as it is then', async () => {
    const guest = G.pagedGuest((asm) => {
      asm.mov(ecx, 10).mov(esi, G.PT_HIGH).mov(eax, 12).call(esi).mov(dword(G.RESULT), eax)
      asm
        .mov(edx, dword(G.BUFFER))
        .mov(eax, 12)
        .call(esi)
        .mov(dword(G.RESULT + 4), eax)
      G.leave(asm)
    }, new G.SlowDevice())
    // add eax, ecx; add eax, 0; ret. With A set, the first is and eax, ecx.
    G.write32(guest, G.PT_HIGH, 0x0005_c103)
    G.write32(guest, G.PT_HIGH + 4, 0xc300_0000)
    expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 0 })
    expect(guest.read32(G.PT_HIGH)).toBe(0x0005_c123)
    expect([guest.read32(G.RESULT), guest.read32(G.RESULT + 4)]).toEqual([22, 8])
  })

  test('A page table that is executed: an instruction whose walk changes its own page waits for a device', async () => {
    const device = new G.SlowDevice([GOOD])
    const guest = G.pagedGuest((asm) => {
      asm
        .mov(esi, G.PT_HIGH + 0x800)
        .call(esi)
        .mov(dword(G.RESULT), eax)
      G.leave(asm)
    }, device)
    G.write32(guest, G.PT_HIGH + 4, G.DEVICE | 7)
    guest.program(G.PT_HIGH + 0x800, 32, (asm) => void asm.mov(eax, dword(G.OTHER)).ret())
    expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 0 })
    expect(guest.read32(G.RESULT)).toBe(GOOD)
    expect(guest.read32(G.PT_HIGH + 4)).toBe(G.DEVICE | 0x27)
    expect(device.seen).toEqual(['read 0/4'])
  })

  test.each([
    { name: 'MOV byte [edi], imm8', code: 0x07c6, seen: ['write 0/1=7'] },
    { name: 'ADD byte [edi], imm8', code: 0x0780, seen: ['read 0/1', `write 0/1=${(0x11 + 7).toString(16)}`] },
  ])(
    'A page table that is executed: $name, whose own walk changes its immediate, is executed as fetched',
    async ({ code, seen }) => {
      // However soon the device answers.
      for (const prompt of [false, true]) {
        const device = new G.SlowDevice([0x11], prompt)
        const guest = G.pagedGuest((asm) => {
          asm
            .mov(eax, G.RESULT)
            .mov(edi, G.OTHER)
            .mov(esi, G.PT_HIGH + 2)
            .call(esi)
          G.leave(asm)
        }, device)
        // Its last byte is the first of the device's entry. Then: add [eax], dl; add bl, al; ret.
        G.write32(guest, G.PT_HIGH, code << 16)
        G.write32(guest, G.PT_HIGH + 4, G.DEVICE | 7)
        G.write32(guest, G.PT_HIGH + 8, 0xc3c3)
        expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 0 })
        expect(guest.read32(G.PT_HIGH + 4)).toBe(G.DEVICE | 0x67)
        expect(device.seen).toEqual(seen)
      }
    },
  )

  test('LOCK ADD of an operand half RAM, half slow device: it is a read and a write of each half, and no more', async () => {
    const device = new G.SlowDevice([0x2222])
    const guest = G.pagedGuest((asm) => {
      asm
        .mov(edi, G.OTHER - 2)
        .lock()
        .add(dword(edi), imm32(0x0001_ffff))
      G.leave(asm)
    }, device)
    G.write32(guest, G.PT_HIGH + 4, G.DEVICE | 7)
    G.write32(guest, G.BUFFER_GPA + 0xffc, 0x1111_5555)
    // Hardware would hold the bus for as long as the device takes; here nobody else has to wait. What another stores
    // into the RAM half meanwhile is overwritten; the rest of the page is not touched.
    device.between = (access) => {
      if (access === 1) G.write32(guest, G.BUFFER_GPA + 0xffc, 0x7777_6666)
    }
    expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 0 })
    expect(device.seen).toEqual(['read 0/2', 'write 0/2=2224'])
    expect(guest.read32(G.BUFFER_GPA + 0xffc)).toBe(0x1110_6666)
  })

  test('Hypercall argument copy while log active: no entries used', async () => {
    const device = new G.SlowDevice([GOOD])
    const guest = G.pagedGuest((asm) => {
      asm.mov(esi, G.DEVICE).mov(edi, G.BUFFER).movsd()
      G.leave(asm)
    }, device)
    const { log } = guest.boot
    const logs: unknown[] = []
    device.between = () => {
      logs.push(log.save())
      // Copies of whoever else looks at guest memory: hypercalls and DMA, patchers, debuggers.
      const copy = new Uint8Array(64)
      guest.domain.guestMemory.read(G.BUFFER_GPA, copy)
      guest.domain.guestMemory.write(G.OTHER_GPA, copy)
      guest.domain.guestMemory.load(G.OTHER_GPA, copy)
      guest.domain.vcpus[0]?.translation.peekCode(BigInt(G.BUFFER), 16)
      logs.push(log.save())
    }
    expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 0 })
    expect(logs[0]).toMatchObject({ active: true })
    expect(logs[1]).toEqual(logs[0])
    expect(log.active).toBe(false)
  })

  test('Instruction crossing pages, second page remapped between passes', async () => {
    const device = new G.SlowDevice([GOOD])
    const guest = G.pagedGuest((asm) => {
      asm.mov(eax, G.OTHER - 3).jmp(eax)
    }, device)
    // MOV EAX, [DEVICE], whose address lies in the next page.
    const code = Uint8Array.of(0x8b, 0x05, G.DEVICE & 0xff, (G.DEVICE >> 8) & 0xff, G.DEVICE >> 16, 0, 0xeb, 0x00)
    guest.domain.guestMemory.write(G.BUFFER_GPA + 0xffd, code.subarray(0, 3))
    guest.domain.guestMemory.write(G.OTHER_GPA, code.subarray(3))
    guest.program(G.OTHER_GPA + 5, 32, (asm) => {
      asm.mov(dword(G.RESULT), eax)
      G.leave(asm)
    })
    guest.program(0x5_2000, 32, (asm) => {
      // Bytes of another instruction; then the same end.
      asm.db(0xff, 0xff, 0xff, 0xeb, 0x00).mov(dword(G.RESULT), eax)
      G.leave(asm)
    })
    device.between = () => G.write32(guest, G.PT_HIGH + 4, 0x5_2007)
    expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 0 })
    expect(device.seen).toEqual(['read 0/4'])
    expect(guest.read32(G.RESULT)).toBe(GOOD)
  })
})
