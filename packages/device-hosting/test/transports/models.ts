import {
  Instant,
  defineDevice,
  DeviceError,
  type DeviceContext,
  type DeviceModel,
  type InterruptLine,
  type OwnedMemory,
  type Region,
  type Timer,
} from '@retrap/device'

/*
 * The models of the transports' contract tests. They run wherever the transport takes them: nothing here may need the
 * test's own thread.
 */
export const REGISTERS = 0x100
export const REGISTERS_MMIO = 0x1_8000
export const WIDE_MMIO = 0x1_9000
export const CONTROL = 0x200
export const DMA = 0x210
export const BAD = 0x220
export const BUFFERED = 0xa_0000
export const FUNCTION_DEVICE = 4
export const OWNED = 0x230
export const OWNED_MMIO = 0x6_0000
/** What a byte written to port OWNED does with the memory; a read says what came of it. */
export const OWN = { write: 1, read: 2, trap: 3, dirty: 4, sync: 5, unmap: 6 } as const

/** What a byte written to port CONTROL does. */
export const DO = { raise: 1, lower: 2, pulse: 3, msi: 4, arm: 5, cancel: 6, powerOff: 7, reset: 8, exit: 9 } as const
/** What a read of port BAD + n does. */
export const BADLY = {
  ...{ throw: 0, hang: 1, answerText: 2, die: 3, throwInTimer: 4, throwLater: 5 },
  /** Programs only: the frame that answers other calls. */
  otherFrame: 6,
} as const

const later = (): Promise<void> => new Promise((resolve) => void setTimeout(resolve, 1))

/** @param synchronous - whether the models say so, and answer at once */
export function contractModels(synchronous: boolean): DeviceModel[] {
  const bytes = new Uint8Array(64)
  const log: string[] = []
  const read = (offset: number, size: number): number => {
    log.push(`r${size}@${offset}`)
    let value = 0
    for (let i = size - 1; i >= 0; i--) value = value * 256 + (bytes[offset + i] ?? 0)
    return value
  }
  const write = (offset: number, size: number, value: number): void => {
    log.push(`w${size}@${offset}=${value.toString(16)}`)
    for (let i = 0; i < size; i++) bytes[offset + i] = value >>> (8 * i)
  }
  const registers = defineDevice({
    name: 'registers',
    synchronous,
    ports: { base: REGISTERS, size: 64 },
    mmio: { base: REGISTERS_MMIO, size: 64 },
    read: synchronous ? read : async (offset, size) => (await later(), read(offset, size)),
    write: synchronous ? write : async (offset, size, value) => (await later(), write(offset, size, value)),
    reset: () => void bytes.fill(0),
    save: () => ({ bytes: [...bytes], log: log.splice(0) }),
    restore: (state) => bytes.set((state as { bytes: number[] }).bytes),
    timeOffset: (seconds) => void log.push(`time ${seconds}`),
    invalidate: (frames) => void log.push(frames === null ? 'invalidate' : `invalidate ${JSON.stringify(frames)}`),
  })
  const wide = defineDevice({
    name: 'wide',
    stateless: true,
    synchronous,
    mmio: { base: WIDE_MMIO, size: 64, maximumAccess: 8, minimumAccess: 4 },
    read,
    write,
    read64(offset, into) {
      into.lo = read(offset, 4)
      into.hi = read(offset + 4, 4)
    },
    write64(offset, lo, hi) {
      write(offset, 4, lo)
      write(offset + 4, 4, hi)
    },
  })
  const buffered = defineDevice({
    name: 'buffered',
    stateless: true,
    synchronous,
    mmio: { base: BUFFERED, size: 0x100, buffered: true },
    read,
    write: (offset, size, value) => void log.push(`b${size}@${offset}=${value.toString(16)}`),
  })
  return [registers, wide, buffered, control(synchronous), dma(), bad(), owner(), pciFunction(synchronous)]
}

function control(synchronous: boolean): DeviceModel {
  let context: DeviceContext
  let line: InterruptLine
  let timer: Timer
  let fired = 0
  const now = new Instant()
  const reached = new Instant()
  const act: Record<number, () => void> = {
    [DO.raise]: () => line.set(true),
    [DO.lower]: () => line.set(false),
    [DO.pulse]: () => line.pulse(),
    [DO.msi]: () => context.signalMsi(0xfee0_1000, 0x31),
    [DO.arm]: () => timer.armAfter(1000),
    [DO.cancel]: () => timer.cancel(),
    [DO.powerOff]: () => context.requestPowerOff(),
    [DO.reset]: () => context.requestReset(),
    [DO.exit]: () => context.requestExit(3),
  }
  return defineDevice({
    name: 'control',
    synchronous,
    // The time at which it is saved.
    save: () => ({ now: context.clock.now() }),
    restore() {},
    ports: [
      { base: CONTROL, size: 1, read: () => fired, write: (_offset, _size, value) => act[value]!() },
      {
        base: CONTROL + 4,
        size: 4,
        read: () => {
          context.clock.read(now)
          return now.lo
        },
      },
      // When the timer was due last.
      { base: CONTROL + 8, size: 8, read: (offset) => (offset === 0 ? reached.lo : reached.hi) },
    ],
    reset() {
      fired = 0
      line.set(false)
      timer.cancel()
    },
    attach(given) {
      context = given
      line = given.interruptLine(5)
      timer = given.timer((deadlineNs, deadline) => {
        fired++
        reached.set(deadline)
        line.set(deadlineNs === reached.toNumber())
        // A second one follows, a nanosecond later.
        if (fired % 2 === 1) timer.armAfter(1, deadline)
      })
    },
  })
}

/** A dword written is an address: the four bytes there come back inverted behind them. */
function dma(): DeviceModel {
  let context: DeviceContext
  return defineDevice({
    name: 'dma',
    stateless: true,
    ports: [
      {
        base: DMA,
        size: 4,
        async write(_offset, _size, gpa) {
          const bytes = new Uint8Array(4)
          if (!(await context.dma.readAsync(gpa, bytes))) return
          await context.dma.writeAsync(
            gpa + 4,
            bytes.map((byte) => ~byte),
          )
        },
      },
      {
        base: DMA + 8,
        size: 4,
        write(_offset, _size, gpa) {
          const bytes = new Uint8Array(4)
          if (context.dma.read(gpa, bytes)) context.dma.write(gpa + 4, bytes.toReversed())
        },
      },
    ],
    attach(given) {
      context = given
    },
  })
}

/** Memory of its own, of four pages, which it reads and writes where it lives. */
function owner(): DeviceModel {
  let memory: OwnedMemory
  let window: Region
  let result = 0
  const act: Record<number, () => void | Promise<void>> = {
    [OWN.write]: () => memory.writeAsync(0x1ffe, Uint8Array.of(1, 2, 3, 4)),
    async [OWN.read]() {
      const bytes = new Uint8Array(4)
      await memory.readAsync(0x1ffe, bytes)
      result = bytes.reduce((sum, byte) => sum * 16 + byte, 0)
    },
    [OWN.trap]: () => memory.setMode('trapped'),
    async [OWN.dirty]() {
      const bits = new Uint32Array(1)
      const dirty = await memory.takeDirtyAsync(0, 4 * 4096, bits)
      result = dirty * 0x100 + (bits[0] ?? 0)
    },
    [OWN.sync]() {
      try {
        const bytes = new Uint8Array(1)
        memory.read(0x2000, bytes)
        result = bytes[0] ?? 0
      } catch (error) {
        result = error instanceof DeviceError && error.code === 'ERR_PERMISSION' ? 0xee : 0xff
      }
    },
    [OWN.unmap]: () => window.unmap(),
  }
  return defineDevice({
    name: 'owner',
    stateless: true,
    ports: { base: OWNED, size: 4 },
    read: () => result,
    write: (_offset, _size, value) => act[value]?.(),
    attach(context) {
      memory = context.ownMemory({ name: 'ram', bytes: 4 * 4096, contents: Uint8Array.of(7) })
      window = context.mapMemory(OWNED_MMIO, memory, { offset: 4096, bytes: 2 * 4096 })
      memory.logWrites(true)
    },
  })
}

function bad(): DeviceModel {
  let timer: Timer
  return defineDevice({
    name: 'bad',
    stateless: true,
    ports: { base: BAD, size: 8 },
    read(offset): number | Promise<number> {
      if (offset === BADLY.throw) throw new Error('thrown in a handler')
      if (offset === BADLY.hang) return new Promise<number>(() => {})
      if (offset === BADLY.answerText) return 'text' as unknown as number
      if (offset === BADLY.throwLater) return later().then(() => Promise.reject(new Error('thrown later')))
      // In a Worker this ends the Worker.
      if (offset === BADLY.die) (process as { reallyExit?(code: number): never } & typeof process).exit(7)
      timer.arm(0)
      return 1
    },
    attach(context) {
      timer = context.timer(() => {
        throw new Error('thrown in a timer')
      })
    },
  })
}

/** A function with a BAR of 16 bytes, which read as their offset, and an interrupt. */
function pciFunction(synchronous: boolean): DeviceModel {
  return {
    name: 'function',
    stateless: true,
    synchronous,
    attach(context) {
      const fn = context.pci.add({
        device: FUNCTION_DEVICE,
        vendorId: 0x1234,
        deviceId: 0x4321,
        classCode: 0xff_0000,
        interruptPin: 1,
        bars: [
          {
            index: 0,
            kind: 'memory',
            bytes: 16,
            handler: { read: (offset) => offset, write: () => fn.interrupt!.set(true) },
          },
        ],
      })
    },
  }
}
