import { IOREQ_TYPE_INVALIDATE } from '@retrap/ioreq'
import { describe, expect, test, vi } from 'vitest'
import { formatRecord, parseTrace, Tracer, type TraceRecord } from '../src/index.ts'
import { ABSENT, PRICE, tracedKernel, tracedPc, TIMER_VECTOR } from './support/guest.ts'

const { places } = tracedKernel()

/** Runs the guest with some traces. */
async function trace(
  specs: readonly string[],
  options: Parameters<typeof tracedPc>[0] = {},
): Promise<{ readonly records: TraceRecord[]; readonly instructions: number; readonly state: unknown }> {
  const records: TraceRecord[] = []
  const tracer = new Tracer(specs.map(parseTrace), (record) => records.push(record))
  const pc = await tracedPc({ ...options, ...(tracer.access && { trace: tracer.access }) })
  tracer.attach(pc.domain)
  const exit = await pc.run({ timeoutMs: 100_000 })
  expect(exit.reason).toBe('power-off')
  tracer.detach()
  const { instructions } = pc.statistics()
  const { registers } = pc.domain.vcpus[0]!.cpu
  const state = [
    registers.rip,
    ...registers.general,
    registers.cr2,
    pc.domain.clock.now(),
    pc.domain.vcpus[0]!.cpu.cost,
  ]
  pc.close()
  return { records, instructions, state }
}

const addresses = (records: readonly TraceRecord[]): number[] =>
  records.map((record) => ('address' in record ? Number(record.address) : -1))

describe('instructions', () => {
  test('are told in their order, one record for each that retires or faults', async () => {
    const { records, instructions } = await trace(['insn'])
    const told = addresses(records)
    // UD2 and the load that faults do not retire.
    expect(told.length).toBe(instructions + 2)
    expect(told.filter((address) => address === places.loop).length).toBe(3)
    expect(told.indexOf(places.ud2)).toBeLessThan(told.indexOf(places.load))
    const text = records.map(formatRecord).join('\n')
    expect(text).toMatch(/^\[\d+\.\d{9} #0\] vcpu 0 insn 00100020: mov esp, 0x200000$/m)
    expect(text).toMatch(/insn [\da-f]{8}: ud2$/m)
  })

  test('can be chosen by their addresses, and end at a limit', async () => {
    const range = `address=0x${places.loop.toString(16)}-0x${(places.off - 1).toString(16)}`
    expect(addresses((await trace([`insn,${range}`])).records)).toEqual(
      Array.from({ length: 6 }, (_, i) => (i % 2 === 0 ? places.loop : places.loop + 1)),
    )
    expect((await trace([`insn,${range},limit=2`])).records.length).toBe(2)
    expect((await trace([`insn,cpl=3`])).records).toEqual([])
  })

  test('are no longer told by the processors behind the limit', async () => {
    const tracer = new Tracer([parseTrace('insn,limit=2'), parseTrace('irq')], () => undefined)
    const pc = await tracedPc({})
    tracer.attach(pc.domain)
    const watch = vi.spyOn(pc.domain.vcpus[0]!.cpu, 'watch')
    expect((await pc.run({ timeoutMs: 100_000 })).reason).toBe('power-off')
    expect(watch.mock.calls.map(([asked]) => Object.keys(asked ?? {}))).toEqual([['event']])
    tracer.detach()
    pc.close()
  })

  test.each([{ jit: false }, { jit: { threshold: 1 } }])(
    'are executed exactly as without a tracer: %o',
    async (options) => {
      const plain = await trace([], options)
      const traced = await trace(['insn', 'block', 'irq', 'exceptions', 'pagewalk', 'ioreq'], options)
      expect(traced.instructions).toBe(plain.instructions)
      expect(traced.state).toEqual(plain.state)
    },
  )
})

test('a block goes to the branch that is taken, or to the event', async () => {
  const { records } = await trace(['block'])
  const blocks = records.filter((record) => record.kind === 'block')
  const loops = blocks.filter(({ address }) => Number(address) === places.loop)
  // The first round of the loop belongs to the block that leads into it; the last one leads out of it.
  expect(loops.map(({ end, executed }) => [Number(end) > places.loop + 3, executed > 2])).toEqual([
    [false, false],
    [true, true],
  ])
  expect(blocks.some(({ address, executed }) => Number(address) === places.load && executed === 1)).toBe(true)
  const sum = blocks.reduce((all, { executed }) => all + executed, 0)
  expect(sum).toBe((await trace(['insn'])).records.length)
})

test('exceptions have their vector, error code and CR2', async () => {
  const { records } = await trace(['exceptions'])
  expect(records).toMatchObject([
    { kind: 'exceptions', vector: 6, errorCode: undefined, cr2: undefined, address: BigInt(places.ud2), cpl: 0 },
    { kind: 'exceptions', vector: 14, errorCode: 0, cr2: BigInt(ABSENT), address: BigInt(places.load) },
  ])
  expect(formatRecord(records[1]!)).toMatch(/exception #PF error 0x0 CR2 00800000 at [\da-f]{8}$/)
  expect((await trace(['exceptions,vector=14'])).records.length).toBe(1)
})

test('interrupts have their vector and what raised them', async () => {
  const { records } = await trace(['irq'])
  expect(records).toMatchObject([
    {
      kind: 'irq',
      event: 'interrupt',
      vector: TIMER_VECTOR,
      source: 'i8259 interrupt 0',
      address: BigInt(places.halt + 1),
    },
  ])
})

test('page walks say what they found', async () => {
  const { records } = await trace(['pagewalk'])
  const walks = records.filter((record) => record.kind === 'pagewalk')
  expect(walks.find(({ linear }) => linear === BigInt(ABSENT))).toMatchObject({
    gpa: undefined,
    errorCode: 0,
    reads: 1,
  })
  expect(walks.find(({ linear }) => linear === BigInt(PRICE))).toMatchObject({
    gpa: PRICE,
    pageBytes: 4 << 20,
    reads: 1,
  })
})

test('accesses name their device and say how long its vCPU waited', async () => {
  const { records } = await trace(['ioreq,device=price'])
  expect(records.map((record) => record.kind === 'ioreq' && record.access.event)).toEqual(['sent', 'answered'])
  const [, answered] = records
  // The device takes 5 ms, and a timer of the host may be early by one.
  expect(answered?.kind === 'ioreq' && answered.vcpu === 0 && answered.waitedMs! > 3.9).toBe(true)
  expect(formatRecord(records[1]!)).toMatch(
    /vcpu 0 ioreq price answered: mmio read of 4 bytes at 0xfed90000 = 0x7 after [\d.]+ ms$/,
  )
})

test('accesses name their instruction and its number, alike in every way of execution', async () => {
  const ways = [
    await trace(['ioreq', 'irq', 'insn'], { jit: false }),
    await trace(['ioreq', 'irq'], { jit: false }),
    await trace(['ioreq', 'irq'], { jit: { threshold: 1 } }),
  ]
  const [stepped = [], ...others] = ways.map(({ records }) =>
    records.flatMap((record) => {
      const { kind, vcpu, instructions, allInstructions } = record
      if (kind !== 'ioreq' || vcpu < 0) return kind === 'irq' ? [`${kind} ${instructions} ${allInstructions}`] : []
      return [`${record.access.event} ${record.code?.toString(16)} ${instructions} ${allInstructions}`]
    }),
  )
  for (const other of others) expect(other).toEqual(stepped)
  expect(stepped.filter((text) => text.includes(` ${places.access.toString(16)} `))).toHaveLength(2)
})

test('accesses while a machine is made, and notices to drop mappings, are told unless the guest alone is traced', async () => {
  const events = async (guestOnly: boolean): Promise<number[]> => {
    const records: TraceRecord[] = []
    const tracer = new Tracer([parseTrace('ioreq')], (record) => records.push(record), { guestOnly })
    const pc = await tracedPc({ trace: tracer.access! })
    const before = records.length
    tracer.attach(pc.domain)
    await pc.run({ timeoutMs: 100_000 })
    tracer.detach()
    pc.close()
    const types = records.map((record) => (record.kind === 'ioreq' ? record.access.request.type : -1))
    return [before, types.filter((type) => type === IOREQ_TYPE_INVALIDATE).length, records.length - before]
  }
  const [made = 0, notices = 0] = await events(false)
  expect([made > 0, notices > 0]).toEqual([true, true])
  expect(await events(true)).toEqual([0, 0, 4])
})

test('a tracer that is detached leaves nothing behind', async () => {
  const records: TraceRecord[] = []
  const tracer = new Tracer(['insn', 'pagewalk', 'irq', 'exceptions'].map(parseTrace), (record) => records.push(record))
  const pc = await tracedPc()
  tracer.attach(pc.domain)
  tracer.detach()
  await pc.run()
  expect(records).toEqual([])
  expect(pc.domain.vcpus[0]!.cpu.counts.steps).toBeLessThan(10)
  pc.close()
})
