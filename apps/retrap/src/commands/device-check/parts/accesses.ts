/** Accesses of the guest: at the edges of regions, several at a time, and cancelled ones. */
import { frameText, wordOf } from '../frame-text.ts'
import type { Conversation } from '../conversation.ts'
import type { CheckedRegion } from '../objects.ts'
import type { Part } from '../part.ts'
import type { Rule } from '../report.ts'
import { RULES } from '../rules.ts'

/** A device with more is looked at in part. */
const MOST_REGIONS = 64
const PROCESSORS = 4

/** Registers at the beginning of a region, where most devices have theirs. */
const REGISTERS = 16

/** Offset and size of each access: at a region's edges in each size, and to its first registers. */
export function edgesOf({ bytes, sizes, kept }: CheckedRegion): { readonly offset: number; readonly size: number }[] {
  const register = sizes.includes(4) ? 4 : sizes.at(-1)
  return sizes.flatMap((size) => {
    const registers = size === register ? Array.from({ length: REGISTERS }, (_, at) => at * size) : []
    return [...new Set([0, 1, bytes - size, ...registers])]
      .filter((offset) => offset + size <= bytes && !kept.some(([from, to]) => offset < to && offset + size > from))
      .map((offset) => ({ offset, size }))
  })
}

/** Returns the regions of devices that are plugged in. */
export const regionsThere = (talk: Conversation): CheckedRegion[] =>
  talk.objects.regions().filter(({ device }) => !device.isOffered)

/** Reads at the edges of regions, one access after another. @returns the number of responses; null if one is missing */
export async function readEdges(talk: Conversation, regions: readonly CheckedRegion[]): Promise<number | null> {
  let count = 0
  for (const each of regions.slice(0, MOST_REGIONS))
    for (const { offset, size } of edgesOf(each)) {
      const answer = await talk.call({ kind: 'read', region: each.region, offset, size, vcpu: 0, now: talk.time })
      if (answer === null) return null
      count++
    }
  return count
}

/** Writes at the edges of regions where the guest waits: 0, then 1, which starts no long work. */
export async function writeEdges(talk: Conversation, regions: readonly CheckedRegion[]): Promise<number | null> {
  let count = 0
  for (const each of regions.filter(({ buffered }) => !buffered).slice(0, MOST_REGIONS))
    for (const value of [0n, 1n])
      for (const access of edgesOf(each)) {
        const fields = { kind: 'write', region: each.region, ...access, value: wordOf(value), vcpu: 0 } as const
        if ((await talk.call({ ...fields, now: talk.time })) === null) return null
        count++
      }
  return count
}

/** Picks an access to a region that can be read. */
const anyRead = (talk: Conversation) =>
  regionsThere(talk).flatMap((each) => edgesOf(each).map((edge) => ({ region: each.region, ...edge })))[0]

const NO_REGION = 'no device with a region is there'

async function edges(talk: Conversation, writes: boolean): Promise<void> {
  const { report } = talk
  const regions = regionsThere(talk)
  if (regions.length === 0) return report.skip(NO_REGION, RULES.reads, RULES.writes, RULES.buffered)
  const tell = (rule: Rule, count: number | null, name: string): void => {
    if (count === null) report.fail(rule, `no answer to a ${name}: see above`, 'an answer to each')
    else report.ok(rule, `${count} ${name}s, ${regions.length} regions`)
  }
  tell(RULES.reads, await readEdges(talk, regions), 'read')
  if (!writes) return report.skip('--no-writes', RULES.writes, RULES.buffered)
  tell(RULES.writes, await writeEdges(talk, regions), 'write')
  await buffered(
    talk,
    regions.filter((each) => each.buffered),
  )
}

async function buffered(talk: Conversation, regions: readonly CheckedRegion[]): Promise<void> {
  const { report } = talk
  if (regions.length === 0) return report.skip('no region has buffered writes', RULES.buffered)
  for (const each of regions)
    for (const access of edgesOf(each))
      talk.wire.send({
        kind: 'write',
        call: 0,
        region: each.region,
        ...access,
        value: wordOf(0n),
        vcpu: 0,
        now: talk.time,
      })
  // Responses come in order: the last read's response follows all others.
  const read = anyRead(talk)
  if (read !== undefined && (await talk.call({ kind: 'read', ...read, vcpu: 0, now: talk.time })) === null) return
  if (!report.has(RULES.once)) report.ok(RULES.buffered)
}

async function several(talk: Conversation): Promise<void> {
  const { report, wire } = talk
  const read = anyRead(talk)
  if (read === undefined) return report.skip(NO_REGION, RULES.stream, RULES.several, RULES.cancel, RULES.lateCancel)
  const reads = (count: number, onCall?: (call: number) => void) =>
    Array.from({ length: count }, (_, vcpu) => talk.call({ kind: 'read', ...read, vcpu, now: talk.time }, onCall))
  const settled = async (rule: Rule, calls: readonly Promise<unknown>[], what: string) => {
    const missing = (await Promise.all(calls)).filter((answer) => answer === null).length
    if (missing > 0)
      report.fail(rule, `${missing} of ${calls.length} calls had no answer, ${what}`, 'an answer to each')
    else report.ok(rule)
    return missing === 0
  }
  wire.hold()
  const pieces = reads(2)
  // The bytes are cut within the header, within a field, and within the second frame's header.
  await wire.release([3, 8, 21, 58])
  if (!(await settled(RULES.stream, pieces, 'which came in pieces'))) return
  wire.hold()
  const calls = reads(PROCESSORS)
  await wire.release()
  if (!(await settled(RULES.several, calls, 'which were open at a time'))) return
  wire.hold()
  let last = 0
  const cancelled = reads(1, (call) => {
    last = call
  })
  wire.send({ kind: 'cancel', call: last })
  await wire.release()
  if (!(await settled(RULES.cancel, cancelled, 'and was cancelled'))) return
  // A cancel may cross the answer on its way.
  wire.send({ kind: 'cancel', call: last })
  await settled(RULES.lateCancel, reads(1), 'after a cancel of one that had been answered')
}

/** Accesses at edges, and several at a time. */
export const ACCESSES: Part = {
  title: 'Accesses',
  rules: [RULES.reads, RULES.writes, RULES.buffered, RULES.stream, RULES.several, RULES.cancel, RULES.lateCancel],
  async run(talk, { writes }) {
    await edges(talk, writes)
    await several(talk)
  },
}

const ACK_AFTER = 64
const SENT = 70

/** Frames without a response must be acknowledged nevertheless. */
export const ACKNOWLEDGED: Part = {
  title: 'Counts',
  rules: [RULES.ack],
  async run(talk) {
    const { report, wire } = talk
    if (!wire.counts) return report.skip('welcome has flag 0 out: it does not count', RULES.ack)
    const read = anyRead(talk)
    if (read === undefined) return report.skip(NO_REGION, RULES.ack)
    let call = 0
    await talk.call({ kind: 'read', ...read, vcpu: 0, now: talk.time }, (number) => {
      call = number
    })
    const before = wire.sent
    let bytes: Uint8Array = new Uint8Array(0)
    for (let sent = 0; sent < SENT; sent++) bytes = wire.send({ kind: 'cancel', call })
    if (await talk.until(() => wire.seen >= before + SENT - ACK_AFTER)) return report.ok(RULES.ack)
    const seen = `a count of ${wire.seen - before} of ${SENT} frames such as\n${frameText(bytes)}`
    report.fail(RULES.ack, seen, `ack, when ${ACK_AFTER} have come`)
  },
}
