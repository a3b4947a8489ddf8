/** Stops of a machine that runs: at ports, device memory, MSRs and exceptions. */
import { defineDevice } from '@retrap/device'
import { DebugExit } from '@retrap/devices'
import { expect, test } from 'vitest'
import * as machines from '../src/index.ts'
import { kept } from './support/kept.ts'
import * as G from './support/stop-guest.ts'

async function made(
  parts: readonly G.Part[],
  options: Partial<machines.PcOptions>,
  seen?: (access: G.SeenAccess) => void,
): Promise<{ readonly pc: machines.Pc; readonly debug: machines.MachineDebugger }> {
  const pc = await machines.createPc({
    memoryBytes: 8 << 20,
    codeCacheBytes: 4 << 20,
    kernel: G.stopGuest(parts, 40),
    devices: [new DebugExit({ iobase: G.EXIT_PORT }), ...G.lateModels(seen)],
    ...options,
  })
  kept(pc)
  return { pc, debug: await pc.debugger() }
}

/** Each instruction of them makes one access; string instructions one for each element. */
const PARTS: readonly G.Part[] = [
  'out',
  'in',
  'quick',
  'insb',
  'outsb',
  'read',
  'write',
  'apic',
  'copy',
  'fault',
  'device',
  'work',
]

test.each([
  { machine: 'pc', jit: false, clock: 'deterministic' },
  { machine: 'q35', jit: true, clock: 'deterministic' },
  { machine: 'pc', jit: true, clock: 'real' },
] as const)('$machine, JIT $jit, $clock time: stops are the accesses that the models see', async (options) => {
  const alone = await made(PARTS, options)
  expect(await alone.pc.run()).toMatchObject({ reason: 'debug-exit' })
  const seen: G.SeenAccess[] = []
  const { pc, debug } = await made(PARTS, options, (access) => seen.push(access))
  const told: G.SeenAccess[] = []
  const note = (stop: machines.MachineStop): void => {
    if (stop.kind !== 'port' && stop.kind !== 'mmio') throw new Error(`a stop of ${stop.kind}`)
    const { kind, address, size, elements, write, value } = stop
    // Of several elements there are no values.
    for (let i = 0; i < elements; i++) {
      const at = kind === 'port' ? address : address + i * size
      told.push({ kind, address: at, size, write, value: value ?? seen[told.length]?.value ?? -1n })
    }
  }
  debug.stopAt({ kind: 'port', address: G.PORTS, count: 4 }, note)
  debug.stopAt({ kind: 'mmio', address: G.DEVICE, count: 64 }, note)
  expect(await pc.run()).toMatchObject({ reason: 'debug-exit' })
  expect(told.length).toBeGreaterThan(1000)
  expect(told).toEqual(seen)
  expect(pc.domain.instructions).toBe(alone.pc.domain.instructions)
  if (options.clock === 'deterministic') expect(pc.domain.clock.now()).toBe(alone.pc.domain.clock.now())
})

test.each([false, true])('JIT %s: directions, MSRs and exceptions', async (jit) => {
  const { pc, debug } = await made(['in', 'out', 'msr', 'undefined', 'fault'], { jit })
  const counts = new Map<string, number>()
  const count = (name: string, place: machines.MachinePlace): void => {
    debug.stopAt(place, (stop) => {
      if (stop.kind === 'handler') expect(debug.register('rip', stop.cpu)).toBe(debug.register('rip'))
      counts.set(name, (counts.get(name) ?? 0) + 1)
    })
  }
  count('read', { kind: 'port', address: G.PORTS, count: 4, access: 'read' })
  count('write', { kind: 'port', address: G.PORTS, count: 4, access: 'write' })
  count('msr', { kind: 'msr', address: G.MSR, access: 'write' })
  count('fault', { kind: 'fault', vector: G.INVALID_OPCODE })
  count('handler', { kind: 'handler', vector: G.INVALID_OPCODE })
  count('page', { kind: 'handler', vector: G.PAGE_FAULT })
  expect(await pc.run()).toMatchObject({ reason: 'debug-exit' })
  expect(Object.fromEntries(counts)).toEqual({ read: 40, write: 40, msr: 40, fault: 40, handler: 40, page: 40 })
})

test.each(['port', 'mmio'] as const)('a %s that is asked already when the stop is set', async (kind) => {
  let answer: ((value: number) => void) | undefined
  const read = (): Promise<number> => new Promise<number>((resolve) => (answer = resolve))
  const [address, range] =
    kind === 'port'
      ? [G.PORTS + 1, { ports: { base: G.PORTS, size: 4 } }]
      : [G.DEVICE, { mmio: { base: G.DEVICE, size: 64 } }]
  const device = defineDevice({ name: 'slow', ...range, read })
  const devices = [new DebugExit({ iobase: G.EXIT_PORT }), device]
  const { pc, debug } = await made([kind === 'port' ? 'in' : 'read'], { devices })
  void pc.run()
  await expect.poll(() => answer).toBeDefined()
  await debug.stop()
  const { instructions } = pc.domain
  debug.stopAt({ kind, address, count: 1 })
  const next = debug.nextStop()
  debug.resume()
  answer!(0x34)
  expect(await next).toMatchObject({ kind, address, write: false, value: 0x34n })
  expect(pc.domain.instructions).toBe(instructions + 1)
})

test('monitor sets, lists and deletes them, and tells of a stop', async () => {
  const { pc, debug } = await made(['out', 'msr', 'undefined'], {})
  const target = await pc.gdbTarget({ kill: () => {} })
  const say = (command: string): Promise<string> => target.monitor(0, command)
  expect(await say('break')).toBe('There is no such stop.\n')
  expect(await say('break port 0xe000 4 write')).toBe('1: port 0xe000 to 0xe003, write\n')
  expect(await say('break msr 0x175')).toBe('2: MSR 0x175\n')
  expect(await say('break exception #UD')).toBe('3: handler of #UD\n')
  expect(await say('break port 0x10000')).toBe('port 0x10000: expected none behind 0xffff\n')
  expect(await say('break mmio')).toMatch(/^write break/)
  await debug.stop()
  const running = pc.run()
  const next = (): Promise<string | undefined> => {
    const { promise, resolve } = Promise.withResolvers<string | undefined>()
    target.onStop(({ message }) => resolve(message))
    target.resume([{ action: 'continue', signal: 5 }], { holdInterrupts: true })
    return promise
  }
  expect(await next()).toBe('port 0xe000: 1 byte written, 0x41')
  expect(await next()).toBe('MSR 0x175: read, 0x0')
  expect(await next()).toBe('MSR 0x175: written, 0x1')
  expect(await next()).toBe('the handler of #UD is next, error code 0x0')
  expect(await say('delete 2')).toBe('1: port 0xe000 to 0xe003, write\n3: handler of #UD\n')
  expect(await say('delete 2')).toMatch(/^'2' is no stop/)
  target.detach(true)
  expect(await running).toMatchObject({ reason: 'debug-exit' })
})

test('places that cannot be are refused', async () => {
  const { debug } = await made([], {})
  const refusal = (place: machines.MachinePlace): string => {
    try {
      debug.stopAt(place)
      return ''
    } catch (error) {
      return String(error)
    }
  }
  expect(refusal({ kind: 'port', address: 0xffff, count: 2 })).toMatch(/expected none behind 0xffff/)
  expect(refusal({ kind: 'mmio', address: -1 })).toMatch(/expected whole numbers/)
  expect(refusal({ kind: 'msr', address: 0x10, count: 0 })).toMatch(/expected whole numbers/)
  expect(refusal({ kind: 'handler', vector: 32 })).toMatch(/expected a vector from 0 to 31/)
})
