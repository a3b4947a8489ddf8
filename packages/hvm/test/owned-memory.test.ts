/** Memory that device models own, as the guest sees it: read, written and executed, moved by a BAR, switched to trapped access. */
import * as D from '@retrap/device'
import { P2mEntry, P2mType } from '@retrap/p2m'
import { startDeviceWorker } from '@retrap/device-hosting/node'
import { al, Assembler, byte, dword, dx, eax, ebx, esi, imm32 } from '@retrap/x86-assembler'
import { describe, expect, test } from 'vitest'
import { EXIT_PORT, Guest, type GuestOptions } from './support/guest.ts'

/** Beyond the guest's RAM. */
const BASE = 0x20_0000
const PAGE = 4096
const RESULT = 0x4000
const PORT = 0x300
const DONE = { reason: 'debug-exit', code: 0 } as const

const leave = (asm: Assembler): Assembler => asm.mov(al, 0).out(EXIT_PORT, al).hlt()

function codeAt(address: number, build: (asm: Assembler) => void): Uint8Array {
  const asm = new Assembler({ bits: 32, address })
  build(asm)
  return asm.assemble().bytes
}

interface Made {
  readonly guest: Guest
  readonly memory: D.OwnedMemory
  readonly context: D.DeviceContext
}

/** The memory that was made last. */
let owned: D.OwnedMemory

/** A guest with one device that owns memory, mapped at BASE. */
function make(
  build: (asm: Assembler) => void,
  options: Partial<D.OwnedMemoryOptions> & { at?: number } = {},
  device: Partial<D.DeviceDefinition> = {},
  guestOptions: GuestOptions = {},
): Made {
  const { at = BASE, ...rest } = options
  const made: { memory?: D.OwnedMemory; context?: D.DeviceContext } = {}
  const guest = new Guest(
    (asm) => {
      build(asm)
      leave(asm)
    },
    {
      ...guestOptions,
      devices: [
        D.defineDevice({
          name: 'card',
          synchronous: true,
          stateless: true,
          ...device,
          attach(context) {
            made.context = context
            made.memory = owned = context.ownMemory({ name: 'vram', bytes: 4 * PAGE, ...rest })
            if (at >= 0) context.mapMemory(at, owned)
            device.attach?.(context)
          },
        }),
      ],
    },
  )
  return { guest, ...(made as Required<typeof made>) }
}

const word = (memory: D.OwnedMemory, offset: number): number => {
  const bytes = new Uint8Array(4)
  memory.read(offset, bytes)
  return new DataView(bytes.buffer).getUint32(0, true)
}
const typeAt = (guest: Guest, gpa: number): number => guest.domain.p2m.lookup(gpa / PAGE, new P2mEntry())

describe('memory at a fixed address', () => {
  test('is seen through a window that begins inside it, and is gone with that', () => {
    let region: D.Region | undefined
    const { guest, memory } = make(
      () => {},
      { at: -1, contents: Uint8Array.of(1) },
      { attach: (context) => void (region = context.mapMemory(BASE, owned, { offset: PAGE, bytes: 2 * PAGE })) },
    )
    memory.write(PAGE, Uint8Array.of(2))
    memory.write(2 * PAGE, Uint8Array.of(3))
    const pages = [0, 1, 2].map((page) => BASE + page * PAGE)
    expect(pages.slice(0, 2).map((gpa) => guest.read32(gpa) & 0xff)).toEqual([2, 3])
    expect(pages.map((gpa) => typeAt(guest, gpa))).toEqual([P2mType.RAM_RW, P2mType.RAM_RW, P2mType.MMIO_DM])
    region?.unmap()
    expect(pages.map((gpa) => typeAt(guest, gpa))).toEqual(pages.map(() => P2mType.MMIO_DM))
  })

  test('is read and written by the guest without a call of the model, and by the model', async () => {
    const { guest, memory } = make(
      (asm) =>
        asm
          .mov(eax, dword(BASE))
          .mov(dword(RESULT), eax)
          .mov(dword(BASE + PAGE), 0x1234_5678)
          .add(dword(BASE + PAGE), eax),
      { contents: Uint8Array.of(1, 0, 0, 0) },
    )
    expect(await guest.run()).toEqual(DONE)
    expect([guest.read32(RESULT), word(memory, PAGE)]).toEqual([1, 0x1234_5679])
    expect([...(memory.view as Uint8Array).subarray(PAGE, PAGE + 4)]).toEqual([0x79, 0x56, 0x34, 0x12])
    expect(guest.domain.vcpus[0]?.counts.mmioAccesses).toBe(0)
    expect(typeAt(guest, BASE)).toBe(P2mType.RAM_RW)
  })

  test('is executed where it says so; what the model writes over code is executed next', async () => {
    const returning = (value: number): Uint8Array => codeAt(BASE, (asm) => void asm.mov(eax, value).ret())
    const { guest } = make(
      (asm) => {
        asm.mov(ebx, BASE)
        for (let i = 0; i < 3; i++) asm.call(ebx)
        asm.mov(dword(RESULT), eax).mov(dx, PORT).out(dx, al)
        asm.call(ebx).mov(dword(RESULT + 4), eax)
      },
      { executable: true, contents: returning(0x11) },
      { ports: { base: PORT, size: 1, write: () => owned.write(0, returning(0x22)) } },
    )
    expect(await guest.run()).toEqual(DONE)
    expect([guest.read32(RESULT), guest.read32(RESULT + 4)]).toEqual([0x11, 0x22])
  })

  test('that may not be executed ends the domain when it is', async () => {
    const { guest } = make((asm) => asm.mov(ebx, BASE).call(ebx), { contents: Uint8Array.of(0xc3) })
    expect(await guest.run()).toMatchObject({
      reason: 'memory-failure',
      failure: { cause: 'not-executable', gfn: BASE / PAGE },
    })
  })

  test('as ROM loses the writes of the guest and of DMA', async () => {
    const { guest, memory, context } = make(
      (asm) => asm.mov(dword(BASE), 7).mov(eax, dword(BASE)).mov(dword(RESULT), eax),
      { kind: 'rom', contents: Uint8Array.of(5) },
    )
    expect(await guest.run()).toEqual(DONE)
    expect(context.dma.write(BASE, Uint8Array.of(9))).toBe(true)
    expect([guest.read32(RESULT), word(memory, 0), typeAt(guest, BASE)]).toEqual([5, 5, P2mType.RAM_RO])
  })

  test('RAM of the guest lies in front of it', async () => {
    const { guest, memory } = make((asm) => asm.mov(dword(0xf_f000), 3).mov(dword(0x10_0000), 4), { at: 0xf_f000 })
    expect(await guest.run()).toEqual(DONE)
    expect([guest.read32(0xf_f000), word(memory, 0), word(memory, PAGE)]).toEqual([3, 0, 4])
  })

  test('DMA of other models reaches it, and the guest cannot keep it from its model', async () => {
    const { guest, memory, context } = make(() => {})
    expect(context.dma.write(BASE + 8, Uint8Array.of(1, 2))).toBe(true)
    expect(word(memory, 8)).toBe(0x201)
    const { p2m } = guest.domain
    p2m.remove(BASE / PAGE, p2m.translate(BASE) / PAGE)
    expect(word(memory, 8)).toBe(0x201)
  })
})

describe('log of written pages', () => {
  test('has guest, DMA and model writes, a range at a time, and follows the memory', async () => {
    const { guest, memory, context } = make((asm) => asm.mov(dword(BASE + 4), 1).mov(dword(BASE + 2 * PAGE), 1))
    memory.logWrites(true)
    expect(await guest.run()).toEqual(DONE)
    const bits = new Uint32Array(1)
    expect([memory.takeDirty(0, PAGE, bits), bits[0]]).toEqual([1, 1])
    expect([memory.takeDirty(0, 4 * PAGE, bits), bits[0]]).toEqual([1, 0b100])
    expect(memory.takeDirty(0, 4 * PAGE, bits)).toBe(0)
    context.dma.write(BASE + PAGE, Uint8Array.of(1))
    memory.write(3 * PAGE - 1, Uint8Array.of(1, 1))
    expect([memory.takeDirty(PAGE, 3 * PAGE, bits), bits[0]]).toEqual([3, 0b111])
    expect(() => memory.takeDirty(8, PAGE, bits)).toThrow(D.DeviceError)
    memory.logWrites(false)
    expect(() => memory.takeDirty(0, PAGE, bits)).toThrow(/logWrites/)
  })
})

describe('memory behind a BAR', () => {
  test('moves with it, and is nowhere while it is not decoded', async () => {
    const set = (asm: Assembler, register: number, value: number): Assembler =>
      asm
        .mov(eax, (0x8000_0000 | (3 << 11) | register) >>> 0)
        .mov(dx, 0xcf8)
        .out(dx, eax)
        .mov(eax, value)
        .mov(dx, 0xcfc)
        .out(dx, eax)
    let fn: D.PciFunction | undefined
    const load = (asm: Assembler, from: number, to: number): Assembler => asm.mov(eax, dword(from)).mov(dword(to), eax)
    const { guest } = make(
      (asm) => {
        set(asm, 0x10, BASE)
        load(asm, BASE, RESULT)
        set(asm, 0x04, 2)
        load(asm, BASE, RESULT + 4)
        asm.mov(dword(BASE + 4), 0x77)
        set(asm, 0x10, 2 * BASE)
        load(asm, BASE, RESULT + 8)
        load(asm, 2 * BASE + 4, RESULT + 12)
        set(asm, 0x30, 3 * BASE + 1)
        load(asm, 3 * BASE, RESULT + 16)
      },
      { at: -1, contents: Uint8Array.of(0x55) },
      {
        attach(context) {
          const rom = context.ownMemory({ name: 'rom', bytes: PAGE, kind: 'rom', contents: Uint8Array.of(0x55, 0xaa) })
          fn = context.pci.add({
            device: 3,
            vendorId: 0x1234,
            deviceId: 0x1111,
            classCode: 0x03_0000,
            bars: [{ index: 0, kind: 'memory', memory: owned, prefetchable: true }],
            expansionRom: { memory: rom },
          })
        },
      },
    )
    expect(await guest.run()).toEqual(DONE)
    expect([0, 4, 8, 12, 16].map((at) => guest.read32(RESULT + at))).toEqual([
      0xffff_ffff, 0x55, 0xffff_ffff, 0x77, 0xaa55,
    ])
    expect(fn?.bar(0)?.base).toBe(2 * BASE)
  })
})

describe.each([
  ['that answers at once', true],
  ['that takes its time', false],
])('flash of a model %s', (_, synchronous) => {
  /** Reads are memory until 0x90 is written; then they are the handler's, until 0xFF is. */
  function flash(build: (asm: Assembler) => void, code: Uint8Array) {
    const calls: string[] = []
    const later = <T>(value: T): T | Promise<T> =>
      synchronous ? value : new Promise((resolve) => void setImmediate(() => resolve(value)))
    let memory: D.OwnedMemory
    const made = make(
      build,
      { at: -1, bytes: PAGE },
      {
        synchronous,
        attach(context) {
          memory = context.ownMemory({
            name: 'flash',
            bytes: PAGE,
            kind: 'rom',
            executable: true,
            contents: code,
            handler: {
              read(offset, size) {
                calls.push(`r${size}@${offset}`)
                const bytes = new Uint8Array(4)
                memory.read(offset, bytes.subarray(0, size))
                return later(offset >= 0x800 ? 0xa5 : new DataView(bytes.buffer).getUint32(0, true))
              },
              write(offset, size, value) {
                calls.push(`w${size}@${offset.toString(16)}=${value.toString(16)}`)
                if (value === 0x90) memory.setMode('trapped')
                if (value === 0xff) memory.setMode('memory')
                return later(undefined)
              },
            },
          })
          context.mapMemory(BASE, memory)
        },
      },
    )
    return { ...made, calls, flash: () => memory }
  }

  test('is switched by the code in it: the next instruction is fetched from the device, and later from memory', async () => {
    const program = (asm: Assembler): void => {
      asm
        .mov(dword(BASE + 0x800), 0x90)
        .mov(eax, dword(BASE + 0x800))
        .mov(dword(RESULT), eax)
        .mov(dword(BASE + 0x800), 0xff)
        .mov(eax, dword(BASE + 0x900))
        .mov(dword(RESULT + 4), eax)
        .ret()
    }
    const { guest, calls, flash: memory } = flash((asm) => asm.mov(esi, BASE).call(esi), codeAt(BASE, program))
    memory().write(0x900, Uint8Array.of(0x42))
    expect(await guest.run()).toEqual(DONE)
    expect([guest.read32(RESULT), guest.read32(RESULT + 4)]).toEqual([0xa5, 0x42])
    expect(memory().mode).toBe('memory')
    expect(calls[0]).toBe('w4@800=90')
    expect(calls.at(-1)).toBe('w4@800=ff')
    // Fetches, and one load.
    expect(calls.filter((call) => call === 'r4@2048')).toHaveLength(1)
    expect(calls.filter((call) => call.startsWith('r1@')).length).toBeGreaterThan(3)
    expect(guest.failures).toEqual([])
  })

  test('read-modify-write reads the memory and writes to the device, once', async () => {
    const {
      guest,
      calls,
      flash: memory,
    } = flash((asm) => asm.mov(eax, 3).add(dword(BASE + 0x10), eax), new Uint8Array(0))
    memory().write(0x10, Uint8Array.of(4))
    expect(await guest.run()).toEqual(DONE)
    expect(calls).toEqual(['w4@10=7'])
    expect(word(memory(), 0x10)).toBe(4)
  })

  test('while it is trapped, DMA finds no memory there, and nothing is lost', async () => {
    const { guest, flash: memory, context } = flash((asm) => asm.mov(dword(BASE), 0x90), Uint8Array.of(9))
    expect(await guest.run()).toEqual(DONE)
    expect(context.dma.read(BASE, new Uint8Array(1))).toBe(false)
    memory().setMode('memory')
    const byte = new Uint8Array(1)
    expect([context.dma.read(BASE, byte), byte[0]]).toEqual([true, 9])
    expect(typeAt(guest, BASE)).toBe(P2mType.RAM_RO)
  })
})

describe('state', () => {
  test('contents are saved with the machine, and restored into another', async () => {
    const build = (asm: Assembler): Assembler => asm.mov(dword(BASE + 4), 0x1234)
    const first = make(build)
    expect(await first.guest.run()).toEqual(DONE)
    first.guest.domain.devices.detach('console')
    const state = structuredClone(await first.guest.domain.saveDevices(1000))
    expect(state.memories).toMatchObject([{ device: 'card', name: 'vram', contents: { length: PAGE } }])
    const second = make(() => {}, { contents: new Uint8Array(4 * PAGE).fill(5) })
    ;(await second.guest.domain.restoreDevices(state)).end()
    expect([4, PAGE, 4 * PAGE - 4].map((offset) => word(second.memory, offset))).toEqual([0x1234, 0, 0])
    const smaller = make(() => {}, { bytes: PAGE })
    await expect(smaller.guest.domain.restoreDevices(state)).rejects.toThrow(/16384|4096/)
  })

  test('a model that can neither be saved nor is stateless fails the save by name', async () => {
    const { guest } = make(() => {})
    guest.domain.attach(D.defineDevice({ name: 'thermometer', ports: [{ base: 0x300, size: 1 }], read: () => 20 }))
    await expect(guest.domain.saveDevices(1000)).rejects.toThrow(/device model thermometer cannot be saved/)
  })

  test('quiesce comes before save, and a model that takes too long is named', async () => {
    const calls: string[] = []
    const { guest } = make(
      () => {},
      {},
      {
        stateless: false,
        quiesce: async (deadlineMs) => void calls.push(`quiesce ${deadlineMs}`),
        save: async () => (calls.push('save'), { version: 1 }),
        restore: async () => {},
        resume: () => void calls.push('resume'),
      },
    )
    guest.domain.devices.detach('console')
    const { local } = await guest.domain.saveDevices(500)
    expect([calls, local.devices, local.detached]).toEqual([
      ['quiesce 500', 'save', 'resume'],
      { card: { version: 1 } },
      ['console'],
    ])
    const late = make(() => {}, {}, { quiesce: () => new Promise(() => {}) })
    late.guest.domain.devices.detach('console')
    await expect(late.guest.domain.saveDevices(5)).rejects.toThrow(/card: quiesce took longer than 5 ms/)
  })
})

describe('an end', () => {
  test('of the model gives every frame back, when nobody can reach it any more', async () => {
    const { guest, memory } = make(() => {})
    const { frames } = guest.memory
    const before = frames.freeFrames
    expect(guest.domain.devices.detach('card')).toBe(true)
    await guest.domain.changeMemory(() => {})
    expect(frames.freeFrames).toBe(before + 4)
    expect(typeAt(guest, BASE)).toBe(P2mType.MMIO_DM)
    expect(() => memory.read(0, new Uint8Array(1))).toThrow(/taken out/)
  })

  test.each([
    ['a size that is no multiple of a page', { bytes: 100 }],
    ['no name', { name: '' }],
    ['more contents than bytes', { contents: new Uint8Array(5 * PAGE) }],
    ['a mode that there is not', { mode: 'x' as 'memory' }],
    ['more than the machine has', { bytes: 2 ** 30 }],
    ['a place that is no page', { at: BASE + 4 }],
  ])('%s is refused, and nothing is kept', (_, options) => {
    expect(() => make(() => {}, options)).toThrow(D.DeviceError)
  })
})

test('a model in a Worker that shares the machine’s memory sees its own in place; code that it writes is executed', async () => {
  const guest = new Guest(
    (asm) => {
      asm
        .mov(dword(BASE + 8), 0x5a)
        .mov(al, 8)
        .mov(dx, 0x300)
        .out(dx, al)
        .in(al, dx)
        .mov(byte(RESULT), al)
      asm
        .mov(dx, 0x304)
        .in(al, dx)
        .mov(byte(RESULT + 1), al)
        .in(al, dx)
        .mov(byte(RESULT + 2), al)
      // mov al, 1; ret: the model makes it mov al, 2.
      asm
        .mov(dword(BASE), imm32(0x00c3_01b0))
        .mov(ebx, BASE)
        .call(ebx)
        .mov(byte(RESULT + 3), al)
      asm.mov(al, 1).mov(dx, 0x300).out(dx, al).mov(al, 2).mov(dx, 0x304).out(dx, al)
      asm.call(ebx).mov(byte(RESULT + 4), al)
      leave(asm)
    },
    { shared: true },
  )
  const { domain } = guest
  const transport = startDeviceWorker(domain.dispatch, domain.platform, {
    name: 'owner',
    modules: [],
    program: new URL('support/owning-worker.ts', import.meta.url),
    data: domain.platform.sharedMemory,
    realTime: false,
  })
  try {
    domain.addServer(transport)
    await transport.remote.ready
    expect(await guest.run()).toEqual(DONE)
    const bytes = new Uint8Array(5)
    domain.guestMemory.read(RESULT, bytes)
    expect([...bytes]).toEqual([0x5a, 1, 0, 1, 2])
  } finally {
    transport.close()
  }
  // With its server, the memory goes.
  expect(domain.p2m.translate(BASE)).toBe(-1)
})
