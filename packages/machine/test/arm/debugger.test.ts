// Arm machines that stop for their debugger and go on: `machine.debugger()`.
import { setTimeout as sleep } from 'node:timers/promises'
import { defineDevice } from '@retrap/device'
import { TEST_JIT } from '@retrap/tooling/jit'
import { describe, expect, test } from 'vitest'
import * as arm from '../../src/arm/index.ts'
import { armImage as image, movz, POWER_OFF } from '@retrap/tooling/arm-image'
import { kept } from '../support/kept.ts'

const START = BigInt(arm.VIRT.ram.base)
const ROUNDS = 1000
const DATA = START + 0x10_0000n

async function made(
  program: readonly number[],
  options: Partial<arm.ArmMachineOptions> = {},
): Promise<{ readonly machine: arm.ArmMachine; readonly debug: arm.MachineDebugger; readonly base: bigint }> {
  const machine = await arm.createArmMachine({
    memoryBytes: 4 << 20,
    codeCacheBytes: 1 << 20,
    jit: TEST_JIT !== undefined,
    kernel: image(...program),
    ...options,
  })
  kept(machine)
  const debug = await machine.debugger()
  return { machine, debug, base: debug.register('pc') }
}

/** Where a program's words are: the image has a header. */
const at = (base: bigint, word: number): bigint => base + 64n + BigInt(4 * word)

/** Calls a function, which writes the count that it is given, `ROUNDS` times. */
const FUNCTION = 9
const counting = [
  movz(1, 0x4010, 16), // x1 = DATA
  movz(2, ROUNDS),
  movz(3, 0),
  0x9400_0006, // bl function
  0xf100_0442, // subs x2, x2, #1
  0x54ff_ffc1, // b.ne -8
  ...POWER_OFF,
  0xf900_0022, // str x2, [x1]
  0x9100_0463, // add x3, x3, #1
  0xd65f_03c0, // ret
]

const read = (debug: arm.MachineDebugger, address: bigint): bigint => {
  const bytes = new Uint8Array(8)
  expect(debug.read(address, bytes)).toBe(8)
  return new DataView(bytes.buffer).getBigUint64(0, true)
}

describe.each(['real', 'deterministic'] as const)('with %s time', (clock) => {
  test('breakpoints have handlers, which the machine waits for', async () => {
    const { machine, debug, base } = await made(counting, { clock })
    const seen: bigint[] = []
    const breakpoint = debug.breakpoint(at(base, FUNCTION), async ({ cpu }) => {
      seen.push(debug.register('x2', cpu))
      await sleep(1)
      if (seen.length === 5) breakpoint.remove()
    })
    expect(await machine.run()).toMatchObject({ reason: 'power-off' })
    expect(seen).toEqual([1000n, 999n, 998n, 997n, 996n])
    expect(debug.register('x3')).toBe(BigInt(ROUNDS))
  })

  test('it stops, steps, watches, and executes the same in the end', async () => {
    const alone = await made(counting, { clock })
    await alone.machine.run()
    const { machine, debug, base } = await made(counting, { clock })
    expect(await debug.stop()).toEqual({ kind: 'pause', cpu: 0 })
    const breakpoint = debug.breakpoint(at(base, FUNCTION))
    const running = machine.run()
    debug.resume()
    expect(await debug.nextStop()).toEqual({ kind: 'breakpoint', cpu: 0, address: at(base, FUNCTION) })
    expect(await debug.step()).toEqual({ kind: 'step', cpu: 0 })
    expect(debug.register('pc')).toBe(at(base, FUNCTION + 1))
    expect(read(debug, DATA)).toBe(BigInt(ROUNDS))
    breakpoint.remove()
    const watch = debug.watch(DATA + 2n, 1, 'write')
    debug.resume()
    expect(await debug.nextStop()).toEqual({ kind: 'watch', cpu: 0, address: DATA + 2n, watch: 'write' })
    expect([read(debug, DATA), debug.register('pc')]).toEqual([BigInt(ROUNDS - 1), at(base, FUNCTION + 1)])
    watch.remove()
    // Before the access, as gdb's clients see it: once, and the instruction is executed next.
    debug.watchesBefore = true
    const before = debug.watch(DATA, 8, 'access')
    for (const left of [2n, 3n]) {
      debug.resume()
      expect(await debug.nextStop()).toEqual({ kind: 'watch', cpu: 0, address: DATA, watch: 'access' })
      expect([debug.register('pc'), read(debug, DATA)]).toEqual([at(base, FUNCTION), BigInt(ROUNDS) - left + 1n])
    }
    debug.watchesBefore = false
    before.remove()
    expect(debug.setRegister('x3', 5000n)).toBe(true)
    expect(debug.write(DATA + 8n, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8))).toBe(8)
    debug.resume()
    await running
    expect(debug.register('x3')).toBe(BigInt(ROUNDS - 3 + 5000))
    expect(read(debug, DATA + 8n)).toBe(0x0807_0605_0403_0201n)
    expect(machine.domain.instructions).toBe(alone.machine.domain.instructions)
    if (clock === 'deterministic') expect(machine.domain.clock.now()).toBe(alone.machine.domain.clock.now())
  })

  test('an instruction that waits for a device, SVC, ERET and WFI are one step each', async () => {
    let pending = ''
    const device = defineDevice({
      name: 'slow',
      mmio: { base: 0x0b00_0000, size: 0x1000 },
      async read(offset) {
        await sleep(1)
        pending = await target.monitor(0, 'pending')
        return 0x77 + offset
      },
    })
    const program = [
      movz(1, 0x0b00, 16),
      movz(2, 0x4000, 16), // vectors at the beginning of RAM
      0xd518_c002, // msr vbar_el1, x2
      0xd503_201f,
      0xb940_0023, // ldr w3, [x1]
      0xd400_0001, // svc #0
      0xd503_207f, // wfi
      ...POWER_OFF,
      0xd69f_03e0, // eret
    ]
    const { machine, debug, base } = await made(program, { clock, devices: [device] })
    const target = await machine.gdbTarget({ kill: () => {} })
    const breakpoint = debug.breakpoint(at(base, 4))
    const running = machine.run()
    await debug.nextStop()
    breakpoint.remove()
    const step = async (): Promise<[string, bigint]> => [(await debug.step()).kind, debug.register('pc')]
    const watch = debug.watch(0x0b00_0001n, 1, 'access')
    expect(await debug.step()).toEqual({ kind: 'watch', cpu: 0, address: 0x0b00_0001n, watch: 'access' })
    watch.remove()
    const [waits, abort, ec, ...fields] = pending.split('\n')
    expect(waits).toMatch(/^CPU 0 waits for a device at 0x400000[\da-f]{2}: slow, mmio read of 4 bytes at 0xb000000$/)
    expect(abort).toMatch(/^ {2}ESR_EL2 0x93830005 at 0xb000000, guest-physical 0xb000000: A 4-byte read into W3 hit: /)
    expect(ec).toBe('    EC 31:26: 0x24, data abort from a lower exception level')
    expect(fields).toContain('    SRT 20:16: 0x3, register 3')
    expect(fields.slice(-3)).toEqual([
      '  pass 1: 1 access, 1 of a device; the next pass replays 0',
      '  #0 mmio-read of 4 at 0xb000000, tag 0.0: asked',
      '',
    ])
    expect([debug.register('x3'), debug.register('pc')]).toEqual([0x77n, at(base, 5)])
    expect(await step()).toEqual(['step', START + 0x200n])
    debug.setRegister('pc', at(base, 10))
    expect(await step()).toEqual(['step', at(base, 6)])
    expect(await step()).toEqual(['step', at(base, 7)])
    expect(debug.describeCpu(0)).toBe('CPU 0, waits')
    debug.close()
    machine.domain.stop({ reason: 'stopped' })
    await running
  })
})

test('device memory and handlers are places, ports and MSRs are a PC’s', async () => {
  const program = [movz(1, 0x4000, 16), 0xd518_c001, movz(1, 0x0900, 16), 0xb940_0022, 0xd400_0001, ...POWER_OFF]
  const { machine, debug, base } = await made(program)
  expect(() => debug.stopAt({ kind: 'msr', address: 1 })).toThrow('an Arm board has device memory alone')
  debug.stopAt({ kind: 'mmio', address: 0x900_0000, access: 'read' })
  debug.stopAt({ kind: 'handler', vector: 0x15 })
  const running = machine.run()
  expect(await debug.nextStop()).toMatchObject({ kind: 'mmio', address: 0x900_0000, size: 4, write: false, value: 0n })
  debug.resume()
  expect(await debug.nextStop()).toMatchObject({ kind: 'handler', vector: 0x15, errorCode: 0x5600_0000 })
  expect([debug.register('pc'), debug.register('ELR_EL1')]).toEqual([START + 0x200n, at(base, 5)])
  debug.setRegister('pc', at(base, 5))
  debug.resume()
  await running
})

test('exceptions are caught before EL1 takes them', async () => {
  // The vectors are at the beginning of RAM, which the kernel is at.
  const program = [movz(1, 0x4000, 16), 0xd518_c001, 0xd400_0001, 0x0000_0000, 0xf940_0021, ...POWER_OFF]
  const { machine, debug, base } = await made(program)
  for (const exceptionClass of [0x15, 0, 0x24]) debug.catchFault(exceptionClass)
  const running = machine.run()
  expect(await debug.nextStop()).toMatchObject({ kind: 'exception', syndrome: 0x5600_0000 })
  // SVC has its program counter behind it: it is taken, whatever the caller says.
  expect([debug.register('pc'), debug.register('ESR_EL1')]).toEqual([at(base, 3), 0n])
  const vector = debug.breakpoint(START + 0x200n)
  debug.resume([{ action: 'continue', dropFault: true }])
  expect(await debug.nextStop()).toMatchObject({ kind: 'breakpoint', address: START + 0x200n })
  expect([debug.register('ESR_EL1'), debug.register('ELR_EL1')]).toEqual([0x5600_0000n, at(base, 3)])
  vector.remove()
  // An undefined instruction is skipped.
  debug.setRegister('pc', at(base, 3))
  debug.resume()
  expect(await debug.nextStop()).toMatchObject({ kind: 'exception', syndrome: 0x0200_0000 })
  debug.setRegister('pc', at(base, 4))
  // With the MMU off data must be aligned.
  debug.setRegister('x1', START + 1n)
  debug.resume([{ action: 'continue', dropFault: true }])
  expect(await debug.nextStop()).toMatchObject({ kind: 'exception', syndrome: 0x9200_0021, address: START + 1n })
  expect(debug.register('ESR_EL1')).toBe(0x5600_0000n)
  debug.setRegister('x1', START)
  debug.resume([{ action: 'continue', dropFault: true }])
  expect(await running).toMatchObject({ reason: 'power-off' })
})

test('all registers can be read, and the monitor has its commands', async () => {
  const { machine, debug } = await made(counting)
  await debug.stop()
  const target = await machine.gdbTarget({ kill: () => {} })
  for (const { name } of target.registers.registers)
    expect([name, target.readRegister(0, name)]).not.toContain(undefined)
  for (const name of ['x7', 'v31', 'sp', 'pc', 'TPIDR_EL0'])
    expect([name, debug.setRegister(name, 0x1234n), debug.register(name)]).toEqual([name, true, 0x1234n])
  expect([debug.setRegister('cpsr', 0x8000_03c4n), debug.register('cpsr')]).toEqual([true, 0x8000_03c4n])
  // EL2, and a register from which much follows.
  expect([debug.setRegister('cpsr', 9n), debug.setRegister('SCTLR_EL1', 1n)]).toEqual([false, false])
  const ask = (command: string): Promise<string> => target.monitor(0, command)
  expect(await ask('help')).toContain('walk ADDRESS')
  expect(await ask('catch svc 0x24')).toBe('Caught: svc, data-abort\n')
  expect(await ask('uncatch svc')).toBe('Caught: data-abort\n')
  expect(await ask('catch x')).toBe("'x' is no exception: write data-abort, 0x3c or svc\n")
  expect(await ask('interrupts')).toBe('GICv3\nCPU 0: IRQ and FIQ masked, no interrupt waits\n')
  expect(await ask(`p2m ${START}`)).toMatch(/^0x40000000: RAM_RW, leaf of .*, machine address 0x[\da-f]+\n/)
  expect(await ask('pending')).toBe('No instruction waits.\n')
  expect(await ask('walk 0x1234')).toBe('0x1234 is guest-physical 0x1234\n')
  expect(await ask('devices')).toContain('pl011-9000000\n')
})
