/** S3 of a machine without firmware, which the machine stands in for. */
import { ACPI_PM } from '@retrap/devices'
import { al, Assembler, ax, bh, bl, dx, edx, imm16, imm8 } from '@retrap/x86-assembler'
import { describe, expect, test } from 'vitest'
import { createPc, type Pc, type PcOptions } from '../src/index.ts'

const MIB = 1 << 20
const KERNEL = 0x10_0000
/** Not at a paragraph's beginning. */
const WAKING = 0x8124
const COM1 = 0x3f8
const CONTROL = ACPI_PM.base + ACPI_PM.controlOffset
const ENABLE = ACPI_PM.base + 2
const RTC_EN = 0x0400

/** Sends a mark, enables events and sleeps. */
function sleeper(enable = 0, before: (asm: Assembler) => void = () => undefined): Uint8Array {
  const asm = new Assembler({ bits: 32, address: KERNEL })
  const entry = asm.label('entry')
  asm.dd(0x1bad_b002, 0x1_0000, -(0x1bad_b002 + 0x1_0000), KERNEL, KERNEL, 0, 0, entry).bind(entry)
  before(asm)
  asm.mov(dx, imm16(ENABLE)).mov(ax, imm16(enable)).out(dx, ax)
  asm.mov(edx, COM1).mov(al, 0x53).out(dx, al)
  asm
    .mov(dx, imm16(CONTROL))
    .mov(ax, imm16(0x2000 | (ACPI_PM.s3SleepType << 10)))
    .out(dx, ax)
  const loop = asm.here()
  asm.mov(edx, COM1).mov(al, 0x21).out(dx, al).jmp(loop)
  return asm.assemble().bytes
}

/** An alarm for each second, in CMOS. */
function setAlarm(asm: Assembler): void {
  for (const [register, value] of [
    [1, 0xff],
    [3, 0xff],
    [5, 0xff],
    [11, 0x22],
  ] as const)
    asm.mov(al, imm8(register)).out(imm8(0x70), al).mov(al, imm8(value)).out(imm8(0x71), al)
}

/** Sends another mark and powers off, or sleeps again, in real mode. */
function waker(sleepType: number = ACPI_PM.s5SleepType): Uint8Array {
  const asm = new Assembler({ bits: 16, address: 0 })
  asm.mov(dx, imm16(COM1)).mov(al, 0x57).out(dx, al)
  asm.in(al, imm8(0x21)).mov(bl, al).in(al, imm8(0xa1)).mov(bh, al)
  asm
    .mov(dx, imm16(CONTROL))
    .mov(ax, imm16(0x2000 | (sleepType << 10)))
    .out(dx, ax)
  const loop = asm.here()
  asm.hlt().jmp(loop)
  return asm.assemble().bytes
}

/** Leaves the address of {@link waker} where the OS would: in the FACS. */
function leaveVector({ domain }: Pc): void {
  domain.guestMemory.load(WAKING, waker())
  const area = new Uint8Array(0x2_0000)
  domain.guestMemory.read(0xe_0000, area)
  const facs = Buffer.from(area).indexOf('FACS')
  domain.guestMemory.load(0xe_0000 + facs + 12, new Uint8Array(Uint32Array.of(WAKING).buffer))
}

interface Sleeping {
  readonly pc: Pc
  readonly text: () => string
  readonly told: readonly boolean[]
}

/** A machine whose guest will sleep. `then` is called when it does. */
async function sleeping(
  kernel: Uint8Array,
  options: Partial<PcOptions> = {},
  then: (pc: Pc) => void = () => undefined,
): Promise<Sleeping> {
  const told: boolean[] = []
  let text = ''
  const pc: Pc = await createPc({
    memoryBytes: 16 * MIB,
    kernel,
    ...options,
    onSleep: (asleep) => {
      told.push(asleep)
      if (asleep) then(pc)
    },
  })
  pc.serial.onTransmit((bytes) => (text += String.fromCharCode(...bytes)))
  return { pc, text: () => text, told }
}

const DEADLINE = { timeoutMs: 100_000 }

describe.each(['inline', 'deferred'] as const)('S3 of a machine without firmware, devices %s', (devicePlacement) => {
  test('the guest sleeps past the ends of runs, until the power button; its RAM stays', async () => {
    const kernel = sleeper()
    const { pc, text, told } = await sleeping(kernel, { devicePlacement, cpus: 2 }, leaveVector)
    expect(pc.state).toBe('stopped')
    expect(await pc.run({ timeoutMs: 200 })).toEqual({ reason: 'timeout' })
    expect([pc.state, text(), told]).toEqual(['asleep', 'S', [true]])
    const { instructions } = pc.statistics()
    const running = pc.run(DEADLINE)
    expect(await pc.powerButton()).toBe(true)
    expect(await running).toEqual({ reason: 'power-off' })
    expect([pc.state, text(), told]).toEqual(['stopped', 'SW', [true, false]])
    expect(pc.statistics().instructions - instructions).toBeLessThan(20)
    const kept = new Uint8Array(kernel.length)
    pc.domain.guestMemory.read(KERNEL, kept)
    expect(kept).toEqual(kernel)
  })

  test('the sleep button wakes it as well; a guest that is awake, and has not asked, hears nothing of it', async () => {
    const { pc, text } = await sleeping(sleeper(), { devicePlacement }, leaveVector)
    const { pc: awake } = await sleeping(sleeper(), { devicePlacement })
    expect(await awake.sleepButton()).toBe(false)
    expect(await pc.run({ timeoutMs: 200 })).toEqual({ reason: 'timeout' })
    const running = pc.run(DEADLINE)
    expect(await pc.sleepButton()).toBe(true)
    expect(await running).toEqual({ reason: 'power-off' })
    expect(text()).toBe('SW')
  })

  test.each(['real', 'deterministic'] as const)('an alarm of the clock wakes it on a %s clock', async (clock) => {
    const { pc, text } = await sleeping(sleeper(RTC_EN, setAlarm), { devicePlacement, clock }, leaveVector)
    expect(await pc.run(DEADLINE)).toEqual({ reason: 'power-off' })
    expect(text()).toBe('SW')
  })

  test('a guest that sleeps again whenever it is woken, which is at once, does not hold the host', async () => {
    let sleeps = 0
    const { pc } = await sleeping(sleeper(RTC_EN, setAlarm), { devicePlacement, clock: 'deterministic' }, (machine) => {
      // The alarm's status stays set.
      if (sleeps++ === 0) leaveVector(machine)
      machine.domain.guestMemory.load(WAKING, waker(ACPI_PM.s3SleepType))
      if (sleeps > 20_000) throw new Error('the event loop has had no turn')
    })
    expect(await pc.run({ timeoutMs: 300 })).toEqual({ reason: 'timeout' })
    expect(sleeps).toBeGreaterThan(1)
  })

  test('a key wakes it', async () => {
    const { pc, text } = await sleeping(sleeper(), { devicePlacement }, (machine) => {
      leaveVector(machine)
      void machine.keyboard.press('Space')
    })
    expect(await pc.run(DEADLINE)).toEqual({ reason: 'power-off' })
    expect(text()).toBe('SW')
  })

  test.each(['before', 'after'])(
    'a stop right %s the guest asks to sleep is not lost, nor is the sleep',
    async (when) => {
      const { pc, text } = await sleeping(sleeper(), { devicePlacement }, leaveVector)
      const { domain } = pc
      const stop = domain.stop.bind(domain)
      domain.stop = (exit) => {
        if (exit.reason === 'sleep' && when === 'before') stop({ reason: 'stopped' })
        stop(exit)
        if (exit.reason === 'sleep' && when === 'after') stop({ reason: 'stopped' })
      }
      expect(await pc.run(DEADLINE)).toEqual({ reason: 'stopped' })
      expect([pc.state, text()]).toEqual(['asleep', 'S'])
      expect(await pc.powerButton()).toBe(true)
      expect(await pc.run(DEADLINE)).toEqual({ reason: 'power-off' })
      expect(text()).toBe('SW')
    },
  )

  test('a stop is not lost when the machine has been woken while it did not run', async () => {
    const { pc, text } = await sleeping(sleeper(), { devicePlacement }, leaveVector)
    expect(await pc.run({ timeoutMs: 200 })).toEqual({ reason: 'timeout' })
    expect(await pc.powerButton()).toBe(true)
    await new Promise((resolve) => setTimeout(resolve, 10))
    expect(await pc.run({ signal: AbortSignal.abort() })).toEqual({ reason: 'stopped' })
    expect(await pc.run(DEADLINE)).toEqual({ reason: 'power-off' })
    expect(text()).toBe('SW')
  })

  test('a guest that has left no address starts anew: the machine is reset', async () => {
    const { pc } = await sleeping(sleeper(), { devicePlacement }, (machine) => void machine.powerButton())
    expect(await pc.run(DEADLINE)).toEqual({ reason: 'reset' })
  })
})

// As QEMU 7.2 with SeaBIOS 1.16 leaves them at the same guest's waking vector.
test('an OS wakes with data segments at 0, a stack below 1000H, and the interrupt controllers masked', async () => {
  const { pc } = await sleeping(sleeper(), {}, (machine) => {
    leaveVector(machine)
    void machine.powerButton()
  })
  expect(await pc.run(DEADLINE)).toEqual({ reason: 'power-off' })
  const { registers } = pc.domain.vcpus[0]!.cpu
  const [es, cs, ss, ds, fs, gs] = [0, 1, 2, 3, 4, 5].map((segment) => registers.selector(segment))
  expect({ es, cs, ss, ds, fs, gs }).toEqual({ es: 0, cs: WAKING >> 4, ss: 0, ds: 0, fs: 0, gs: 0 })
  expect([registers.general[4], registers.general[3]]).toEqual([0xf70n, 0xfffbn])
})

test('a machine that is saved when it is to wake goes on from there', async () => {
  const { pc, text } = await sleeping(sleeper(), {}, leaveVector)
  expect(await pc.run({ timeoutMs: 200 })).toEqual({ reason: 'timeout' })
  expect(await pc.powerButton()).toBe(true)
  const other = await sleeping(sleeper(), { snapshot: structuredClone(await pc.save()) })
  expect(other.pc.state).toBe('asleep')
  expect(await other.pc.run(DEADLINE)).toEqual({ reason: 'power-off' })
  expect(text() + other.text()).toBe('SW')
})

test('under Xen there is no S3: the write does nothing', async () => {
  const { pc, told } = await sleeping(sleeper(), { hypervisor: 'xen' })
  expect(await pc.run({ timeoutMs: 100 })).toEqual({ reason: 'timeout' })
  expect([pc.state, told]).toEqual(['stopped', []])
})
