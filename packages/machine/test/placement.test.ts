import { defineDevice } from '@retrap/device'
import { IOREQ_TYPE_INVALIDATE, type IoTraceRecord } from '@retrap/ioreq'
import { startDeviceProcess, startDeviceWorker } from '@retrap/device-hosting/node'
import { al, dword, dx, eax, ebx, ecx, edx, esi, imm16, imm32, imm8, type Assembler } from '@retrap/x86-assembler'
import { TEST_JIT } from '@retrap/tooling/jit'
import { sliceTests, sliced } from '@retrap/tooling/slice'
import { afterEach, describe, expect, test } from 'vitest'
import { createPc, MachineError, type Pc, type PcOptions, type StartBoardServer } from '../src/index.ts'
import { multibootKernel, powerOff } from './support/kernels.ts'
import { boardInWorker } from './support/workers.ts'

const DEADLINE_MS = 60_000
const SMALL = { memoryBytes: 4 << 20, codeCacheBytes: 4 << 20, jit: TEST_JIT } as const
const COM1 = 0x3f8
const DEVICE = 0xfed9_0000
const MODULE = new URL('./support/device-module.ts', import.meta.url).href

/** Prints, reads a key, echoes it, asks the device, and powers off by ACPI. */
function guest(asm: Assembler): void {
  const print = asm.label()
  const wait = asm.label()
  const message = asm.label()
  const start = asm.label()
  asm.jmp(start).bind(message).ascii('ready\n').bind(start)
  asm.mov(esi, message).mov(ecx, 6).mov(edx, COM1)
  asm.bind(print).lodsb().out(dx, al).dec(ecx).jnz(print)
  // Until a character has come.
  asm
    .mov(edx, COM1 + 5)
    .bind(wait)
    .in(al, dx)
    .test(al, 1)
    .jz(wait)
  asm.mov(edx, COM1).in(al, dx).out(dx, al)
  asm.mov(eax, dword(DEVICE + 4)).out(dx, al)
  powerOff(asm)
}

/** Reads bytes, prints the two low bytes of their sum, and powers off by ACPI. */
function reader(asm: Assembler, count: number): void {
  asm.mov(ecx, count).xor(ebx, ebx).xor(eax, eax)
  const next = asm.here()
  asm.mov(edx, COM1 + 5)
  const wait = asm.here()
  asm.in(al, dx).test(al, 1).jz(wait).mov(edx, COM1).in(al, dx).add(ebx, eax).dec(ecx).jnz(next)
  asm.mov(eax, ebx).out(dx, al).shr(eax, 8).out(dx, al)
  powerOff(asm)
}

/** Lights Num Lock, turns the mouse on, sends the codes of both to the first serial port, and powers off after so many. */
function listener(asm: Assembler, count: number): void {
  const out = (port: number, value: number): void => void asm.mov(al, value).out(imm8(port), al)
  const waitFor = (): void => {
    const wait = asm.here()
    asm.in(al, imm8(0x64)).test(al, 1).jz(wait)
  }
  // No translation, both clocks run.
  out(0x64, 0x60)
  out(0x60, 0x00)
  for (const bytes of [[0xed], [0x02]]) {
    out(0x60, bytes[0]!)
    waitFor()
    asm.in(al, imm8(0x60))
  }
  out(0x64, 0xd4)
  out(0x60, 0xf4)
  waitFor()
  asm.in(al, imm8(0x60)).mov(edx, COM1).mov(al, 0x21).out(dx, al)
  asm.mov(ecx, count)
  const next = asm.here()
  waitFor()
  asm.in(al, imm8(0x60)).mov(edx, COM1).out(dx, al).dec(ecx).jnz(next)
  powerOff(asm)
}

/** Waits until the host bridge of a Q35 is in configuration space, moves that, waits again, and powers off by ACPI. */
function configurator(asm: Assembler): void {
  const waitAt = (gpa: number): void => {
    const wait = asm.here()
    asm.mov(eax, dword(gpa)).cmp(eax, imm32(0x29c0_8086)).jne(wait)
  }
  const out = (port: number, value: number): void => void asm.mov(dx, imm16(port)).mov(eax, imm32(value)).out(dx, eax)
  waitAt(0xb000_0000)
  // PCIEXBAR of the 3 Series data sheet: at 0xe0000000, with 256 buses.
  out(0xcf8, 0x8000_0060)
  out(0xcfc, 0xe000_0001)
  waitAt(0xe000_0000)
  powerOff(asm)
}

/** A board's Worker takes long to start: a run has some of what is asked of it. */
const workerTest = sliceTests(4)

describe.each<{ how: string; options: Partial<PcOptions> }>([
  { how: 'inline', options: {} },
  { how: 'deferred', options: { devicePlacement: 'deferred' } },
  { how: 'in a Worker', options: { devicePlacement: boardInWorker } },
])('a board $how', { timeout: DEADLINE_MS }, ({ how, options }) => {
  const boardTest = how === 'in a Worker' ? workerTest : test
  let pc: Pc
  afterEach(() => pc.close())

  boardTest('has PCI Express configuration space where its chipset puts it', async () => {
    pc = await createPc({ ...SMALL, machine: 'q35', kernel: multibootKernel(configurator), ...options })
    expect(await pc.run({ timeoutMs: 100_000 })).toEqual({ reason: 'power-off' })
  })

  boardTest('prints, hears a key, and powers off', async () => {
    const device = defineDevice({ name: 'd', mmio: { base: DEVICE, size: 16 }, read: async (offset) => 0x40 + offset })
    pc = await createPc({ ...SMALL, kernel: multibootKernel(guest), devices: [device], ...options })
    let text = ''
    pc.serial.onTransmit((bytes) => {
      text += String.fromCharCode(...bytes)
      if (text === 'ready\n') pc.serial.receive(Uint8Array.of(0x6b))
    })
    const exit = await pc.run({ timeoutMs: 100_000 })
    expect([exit.reason, text]).toEqual(['power-off', 'ready\nkD'])
  })

  boardTest('hears keyboard and mouse, and lights a lamp', async () => {
    const count = 6 * 20 + 3
    pc = await createPc({ ...SMALL, kernel: multibootKernel((asm) => listener(asm, count)), ...options })
    let codes: number[] = []
    pc.serial.onTransmit((bytes) => {
      const begins = codes.length === 0
      codes = [...codes, ...bytes]
      if (begins) void pc.keyboard.type('aa'.repeat(20)).then(() => pc.mouse.move(1, 2))
    })
    const exit = await pc.run({ timeoutMs: 100_000 })
    const key = [0x1c, 0xf0, 0x1c]
    const report = [0x28, 0x01, 0xfe]
    expect([exit.reason, pc.keyboard.leds.numLock, pc.mouse.pointer]).toEqual(['power-off', true, 'relative'])
    expect(codes).toEqual([0x21, ...Array.from({ length: 40 }, () => key).flat(), ...report])
  })

  boardTest('has a sender hold back while its guest reads slowly, and loses nothing', async () => {
    const pieces = 20
    const piece = Uint8Array.from({ length: 1000 }, (_, i) => i * 7)
    pc = await createPc({ ...SMALL, kernel: multibootKernel((asm) => reader(asm, pieces * piece.length)), ...options })
    let printed: number[] = []
    let sent = 0
    const answers: boolean[] = []
    let drains = 0
    // To the end, or for as long as there is room.
    const send = (): void => {
      while (sent < pieces && answers.at(-1) !== false) {
        sent++
        answers.push(pc.serial.receive(piece))
      }
    }
    pc.serial.onDrain(() => {
      drains++
      answers.push(true)
      send()
    })
    pc.serial.onTransmit((bytes) => (printed = [...printed, ...bytes]))
    send()
    expect(sent).toBe(17)
    const exit = await pc.run({ timeoutMs: 100_000 })
    const sum = piece.reduce((total, byte) => total + byte, 0) * pieces
    expect([exit.reason, sent, drains]).toEqual(['power-off', pieces, 1])
    expect(printed).toEqual([sum & 0xff, (sum >> 8) & 0xff])
  })
})

const DISTANT: readonly { how: string; devicePlacement: NonNullable<PcOptions['devicePlacement']> }[] = [
  { how: 'deferred', devicePlacement: 'deferred' },
  { how: 'in a Worker', devicePlacement: boardInWorker },
]

test.each(sliced(DISTANT, 2))(
  'runs on the deterministic clock agree with one another: a board $how',
  async ({ devicePlacement }) => {
    // What the PIT counts depends on the time that each access is made at.
    const kernel = multibootKernel((asm) => {
      const loop = asm.label()
      asm.mov(ecx, 300).bind(loop).in(al, imm8(0x40)).mov(edx, COM1).out(dx, al).dec(ecx).jnz(loop)
      powerOff(asm)
    })
    const run = async () => {
      const pc = await createPc({ ...SMALL, kernel, devicePlacement, clock: 'deterministic' })
      const seen: number[] = []
      pc.serial.onTransmit((bytes) => seen.push(...bytes))
      const { reason } = await pc.run({ timeoutMs: 100_000 })
      const { instructions } = pc.statistics()
      pc.close()
      return { reason, seen, instructions }
    }
    const first = await run()
    expect([first.reason, first.seen.length]).toEqual(['power-off', 300])
    const second = await run()
    expect(second).toEqual(first)
  },
  DEADLINE_MS,
)

describe.each([
  {
    how: 'a Worker',
    start: (dispatch, platform, realTime) =>
      startDeviceWorker(dispatch, platform, { name: 'far', modules: [MODULE], realTime }),
  },
  {
    how: 'a process',
    start: (dispatch, platform, realTime) =>
      startDeviceProcess(dispatch, platform, { name: 'far', modules: [MODULE], realTime }),
  },
] satisfies { how: string; start: NonNullable<PcOptions['deviceServers']>[number] }[])(
  'a device in $how',
  { timeout: DEADLINE_MS },
  ({ start }) => {
    let pc: Pc
    afterEach(() => pc.close())

    test('answers the guest', async () => {
      const records: string[] = []
      // Notices of changes of the memory map are no accesses.
      const trace = ({ server, event, request }: IoTraceRecord): void => {
        if (request.type !== IOREQ_TYPE_INVALIDATE) records.push(`${server} ${event}`)
      }
      pc = await createPc({ ...SMALL, kernel: multibootKernel(guest), deviceServers: [start], trace })
      let text = ''
      pc.serial.onTransmit((bytes) => {
        text += String.fromCharCode(...bytes)
        if (text === 'ready\n') pc.serial.receive(Uint8Array.of(0x6b))
      })
      const exit = await pc.run({ timeoutMs: 100_000 })
      expect([exit.reason, text]).toEqual(['power-off', 'ready\nkD'])
      expect(records.filter((line) => line.startsWith('far'))).toEqual(['far sent', 'far answered'])
    })
  },
)

test(
  'a machine whose devices cannot be loaded is not made',
  async () => {
    const modules = ['file:///nowhere/device.ts']
    const made = createPc({
      ...SMALL,
      kernel: multibootKernel(guest),
      deviceServers: [(dispatch, platform) => startDeviceWorker(dispatch, platform, { name: 'far', modules })],
    })
    await expect(made).rejects.toThrow(MachineError)
    await expect(made).rejects.toThrow(/nowhere/)
  },
  DEADLINE_MS,
)

test('a machine whose device cannot be attached ends the Worker of its board', async () => {
  let isClosed = false
  const devicePlacement: StartBoardServer = (...given) => {
    const server = boardInWorker(...given)
    server.remote.onClosed(() => (isClosed = true))
    return server
  }
  const refuses = {
    name: 'refuses',
    attach() {
      throw new Error('not here')
    },
  }
  const made = createPc({ ...SMALL, kernel: multibootKernel(guest), devices: [refuses], devicePlacement })
  await expect(made).rejects.toThrow('not here')
  expect(isClosed).toBe(true)
})

test('a device that does not answer in time ends the machine, or is taken out', async () => {
  const hangs = () =>
    defineDevice({ name: 'hangs', mmio: { base: DEVICE, size: 16 }, read: () => new Promise<number>(() => {}) })
  const options = { ...SMALL, kernel: multibootKernel(guest), deviceDeadlineMs: 50 }
  const run = async (policy: 'crash' | 'detach') => {
    const pc = await createPc({ ...options, devices: [hangs()], devicePolicy: policy })
    let text = ''
    pc.serial.onTransmit((bytes) => (text += String.fromCharCode(...bytes)))
    pc.serial.receive(Uint8Array.of(0x6b))
    return { ...(await pc.run({ timeoutMs: 100_000 })), text }
  }
  const crashed = await run('crash')
  expect(crashed.reason).toBe('device-failure')
  expect(crashed.detail?.message).toMatch(/^hangs \(mmio read of 4 bytes at 0xfed90004\): no answer within 50 ms/)
  expect(await run('detach')).toMatchObject({ reason: 'power-off', text: 'ready\nk\u00ff' })
})
