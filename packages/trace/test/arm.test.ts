import type { ArmMachineOptions } from '@retrap/machine/arm'
import { describe, expect, test } from 'vitest'
import { ChromeTrace, formatRecord, parseTrace, Tracer, type TraceRecord } from '../src/index.ts'
import { ARM_ABSENT, ARM_PRICE, armGuest, TIMER_INTID, tracedBoard } from './support/arm-guest.ts'

const guest = armGuest()

/** Runs the guest with some traces; `base` is where its image lies. */
async function trace(
  specs: readonly string[],
  options: Partial<ArmMachineOptions> = {},
): Promise<{ records: TraceRecord[]; instructions: number; state: unknown; base: number }> {
  const records: TraceRecord[] = []
  const tracer = new Tracer(specs.map(parseTrace), (record) => records.push(record))
  const board = await tracedBoard({ ...options, ...(tracer.access && { trace: tracer.access }) })
  tracer.attach(board.domain)
  const { cpu, processor } = board.domain.vcpus[0]!
  const base = Number(processor.registers.pc)
  expect((await board.run({ timeoutMs: 100_000 })).reason).toBe('power-off')
  tracer.detach()
  const state = [processor.registers.save(), board.domain.clock.now(), processor.cost]
  board.close()
  return { records, instructions: cpu.retired, state, base }
}

const addresses = (records: readonly TraceRecord[]): number[] =>
  records.map((record) => ('address' in record ? Number(record.address) : -1))

describe('an Arm board', () => {
  test('instructions are told in their order, one record for each that retires or faults', async () => {
    const { records, instructions, base } = await trace(['insn'])
    const told = addresses(records)
    expect(told.length).toBe(instructions + 2)
    expect(told.filter((address) => address === base + guest.loop).length).toBe(3)
    const text = records.map(formatRecord).join('\n')
    expect(text).toMatch(/^\[\d+\.\d{9} #\d+\] vcpu 0 insn [\da-f]{8}: msr vbar_el1, x0$/m)
    expect(text).toMatch(/insn [\da-f]{8}: subs x4, x4, #(?:0x)?1$/m)
  })

  test.each([{ jit: false }, { jit: true }])('the guest executes exactly as without a tracer: %o', async (options) => {
    const plain = await trace([], options)
    const traced = await trace(['insn', 'block', 'irq', 'exceptions', 'pagewalk', 'ioreq'], options)
    expect([traced.instructions, traced.state]).toEqual([plain.instructions, plain.state])
  })

  test('a block goes to the branch that is taken, or to the event', async () => {
    const { records, base } = await trace(['block'])
    const loops = records.filter((record) => record.kind === 'block' && Number(record.address) === base + guest.loop)
    expect(loops.map((record) => record.kind === 'block' && record.executed)).toEqual([2, 5])
    const sum = records.reduce((all, record) => all + (record.kind === 'block' ? record.executed : 0), 0)
    expect(sum).toBe((await trace(['insn'])).records.length)
  })

  test('exceptions have their class, syndrome and address', async () => {
    const { records, base } = await trace(['exceptions'])
    expect(records).toMatchObject([
      { vector: 0, syndrome: 0x0200_0000, far: undefined, address: BigInt(base + guest.undefined), cpl: 1 },
      {
        vector: 0x25,
        syndrome: expect.toSatisfy((word: number) => word >>> 26 === 0x25),
        far: BigInt(ARM_ABSENT),
        address: BigInt(base + guest.load),
      },
    ])
    expect(formatRecord(records[1]!)).toMatch(/exception data abort ESR 0x[\da-f]+ FAR 80000000 at [\da-f]{8}$/)
    expect((await trace(['exceptions,vector=0x25'])).records.length).toBe(1)
  })

  test('interrupts have their INTID', async () => {
    const { records, base } = await trace(['irq'])
    expect(records).toMatchObject([
      { event: 'interrupt', vector: TIMER_INTID, source: 'PPI 27', address: BigInt(base + guest.wait + 4) },
    ])
  })

  test('page walks say what they found', async () => {
    const { records } = await trace(['pagewalk'])
    const walks = records.filter((record) => record.kind === 'pagewalk')
    expect(walks.find(({ linear }) => linear === BigInt(ARM_ABSENT))).toMatchObject({
      gpa: undefined,
      faultStatus: 5,
      reads: 1,
    })
    expect(walks.find(({ linear }) => linear === BigInt(ARM_PRICE))).toMatchObject({
      gpa: ARM_PRICE,
      pageBytes: 1 << 30,
      reads: 1,
    })
    expect(walks.map(formatRecord).join('\n')).toMatch(
      /walk 80000000: supervisor read → fault status 0x5, 1 entries read/,
    )
  })

  test("in Chrome's format the wait for the device is a span", async () => {
    let text = ''
    const chrome = new ChromeTrace((piece) => (text += piece))
    const { records } = await trace(['block', 'insn', 'irq', 'exceptions', 'pagewalk', 'ioreq,device=price'])
    for (const record of records) chrome.add(record)
    chrome.end()
    const events = JSON.parse(text) as { name: string; ph: string }[]
    expect(events.filter(({ ph, name }) => ph === 'X' && name.startsWith('waits for price')).length).toBe(1)
    expect(events.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['data abort', 'undefined instruction', 'PPI 27', 'page walk', 'page walk faults']),
    )
  })

  test('a tracer that is detached leaves nothing behind', async () => {
    const records: TraceRecord[] = []
    const tracer = new Tracer(['insn', 'pagewalk', 'irq', 'exceptions'].map(parseTrace), (record) =>
      records.push(record),
    )
    const board = await tracedBoard()
    tracer.attach(board.domain)
    tracer.detach()
    await board.run({ timeoutMs: 100_000 })
    expect(records).toEqual([])
    board.close()
  })
})
