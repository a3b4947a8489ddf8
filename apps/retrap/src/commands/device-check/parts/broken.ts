/** Frames that no machine sends: the server ends the session, and neither hangs nor crashes. */
import { setTimeout } from 'node:timers/promises'
import { encodeProtocolFrame, type ProtocolFrame } from '@retrap/device-hosting/protocol'
import { Conversation } from '../conversation.ts'
import { frameText } from '../frame-text.ts'
import type { Link } from '../link.ts'
import type { Check, Part } from '../part.ts'
import { Report, type Rule } from '../report.ts'
import { RULES } from '../rules.ts'

interface Broken extends Rule {
  /** Bytes to send. @param first - the number of a device and of a region, or 0 */
  bytes(first: { readonly device: number; readonly region: number }): Uint8Array
  /** Whether the frame is sent in place of hello. */
  readonly first?: true
  /** The connection ends behind the frame. */
  readonly ends?: true
  /** The server may go on as well: nothing is wrong with the form. */
  readonly mayGoOn?: true
}

const CLOSES = 'A receiver closes the connection after a frame that does not keep to this.'
const ZERO = { lo: 0, hi: 0 }
const read = (region: number, call = 1): Uint8Array<ArrayBuffer> =>
  encodeProtocolFrame({ kind: 'read', call, region, offset: 0, size: 1, vcpu: 0, now: ZERO })

/** A frame's bytes with some changed. */
function changed(bytes: Uint8Array, change: (view: DataView) => void, length: number = bytes.length): Uint8Array {
  const copy = new Uint8Array(length)
  copy.set(bytes.subarray(0, length))
  const view = new DataView(copy.buffer)
  view.setUint32(0, length, true)
  change(view)
  return copy
}

/** A frame's bytes with another 32-bit number at an offset. */
const patched = (bytes: Uint8Array, at: number, value: number): Uint8Array =>
  changed(bytes, (view) => view.setUint32(at, value, true))

const broken = (name: string, bytes: Broken['bytes'], more: Partial<Broken> = {}): Broken => ({
  title: `it ends the session at ${name}`,
  sentence: CLOSES,
  bytes,
  ...more,
})
const HELLO: ProtocolFrame<'hello'> = {
  kind: 'hello',
  version: 5,
  flags: 0,
  session: { lo: 1, hi: 2 },
  received: 0,
  now: ZERO,
}
const restore = (device: number, state: Uint8Array): Uint8Array =>
  encodeProtocolFrame({ kind: 'restore', call: 1, device, state, now: ZERO })

const BROKEN: readonly Broken[] = [
  broken('a length of 0', ({ region }) => patched(read(region), 0, 0)),
  broken('a length that is no multiple of 8', ({ region }) => patched(read(region), 0, 52)),
  broken('a length beyond the most', ({ region }) => patched(read(region), 0, 0xffff_fff8)),
  broken('a kind that there is not', ({ region }) => changed(read(region), (view) => view.setUint16(4, 9999, true))),
  broken('a frame that is a server’s', () => encodeProtocolFrame({ kind: 'answer', call: 1, value: ZERO })),
  broken('a frame that lacks fields', ({ region }) => changed(read(region), () => {}, 24)),
  broken('a frame with more than its fields', ({ region }) => changed(read(region), () => {}, 64)),
  broken('a number beyond 2^53 − 1', ({ region }) => patched(read(region), 20, 0x4000_0000)),
  broken('bytes that are longer than their frame', ({ device }) =>
    patched(restore(device, new Uint8Array(8)), 24, 1 << 18),
  ),
  broken('bytes whose length is beyond all', ({ device }) =>
    changed(restore(device, new Uint8Array(8)), (view) => view.setBigUint64(24, 2n ** 64n - 8n, true)),
  ),
  broken('bytes that are filled up with anything but zeros', ({ device }) =>
    changed(restore(device, new Uint8Array(5)), (view) => view.setUint8(39, 1)),
  ),
  broken('a second hello', () => encodeProtocolFrame(HELLO), { sentence: 'The first frame on a connection.' }),
  broken('a first frame that is not hello', () => read(1), {
    first: true,
    sentence: 'The first frame on a connection.',
  }),
  broken('half a frame, and the end', ({ region }) => read(region).subarray(0, 20), {
    ends: true,
    sentence: RULES.bye.sentence,
  }),
  broken('half a header, and the end', () => Uint8Array.of(56, 0, 0), {
    ends: true,
    first: true,
    sentence: RULES.bye.sentence,
  }),
  broken('a region that it has not declared, or goes on', () => read(0x7fff_ffff), { mayGoOn: true }),
  broken('a state that it has not saved, or goes on', ({ device }) => restore(device, new Uint8Array(24).fill(0xff)), {
    mayGoOn: true,
    sentence: 'The state is bytes, of whatever form: begin it with a version.',
  }),
]

/** Servers that hang are waited for this many times. */
const MOST_WAITS = 3

/** Waits until a server has closed the connection, and until its program has ended. @returns the failure; undefined: none */
async function endOf(link: Link, timeoutMs: number): Promise<string | undefined> {
  const late = Symbol('late')
  const timeout = setTimeout(timeoutMs, late, { ref: false })
  const closed = await Promise.race([link.closed, timeout])
  if (closed === late) return `the connection is open after ${timeoutMs / 1000} s`
  link.end()
  if (link.ended === null) return undefined
  const ended = await Promise.race([link.ended, setTimeout(timeoutMs, late, { ref: false })])
  if (typeof ended === 'symbol') return `${String(closed)}, but its program runs after ${timeoutMs / 1000} s`
  return ended.signal === null ? undefined : `it ${ended.how}`
}

/** Whether a server still answers: nothing was wrong with the form of a frame. */
async function goesOn(talk: Conversation, timeoutMs: number): Promise<boolean> {
  talk.allowsErrors = true
  const [device] = talk.objects.devices
  if (device === undefined) return false
  const answer = await Promise.race([
    talk.call({ kind: 'resume', device: device.id, now: talk.time }),
    setTimeout(timeoutMs, null, { ref: false }),
  ])
  return answer !== null
}

async function one(check: Check, each: Broken, link: Link, trace: Check['trace']): Promise<string | undefined> {
  const { timeoutMs } = check
  const talk = new Conversation({ report: new Report(() => {}), trace, timeoutMs })
  talk.ending = true
  let bytes
  if (each.first === true) {
    bytes = each.bytes({ device: 0, region: 0 })
    trace?.(`      → ${frameText(bytes)}`)
    // A bye may come before the end.
    link.onData(() => {})
    link.write(bytes)
  } else {
    if (!(await talk.open(link))) return `no ready: ${talk.over ?? `nothing more within ${timeoutMs / 1000} s`}`
    const device = talk.objects.devices.find(({ isStateless }) => !isStateless) ?? talk.objects.devices.at(0)
    const [region] = talk.objects.regions()
    bytes = each.bytes({ device: device?.id ?? 0, region: region?.region ?? 0 })
    talk.wire.raw(bytes)
  }
  if (each.ends === true) link.end()
  if (each.mayGoOn === true && (await goesOn(talk, timeoutMs))) return undefined
  const trouble = await endOf(link, timeoutMs)
  return trouble === undefined ? undefined : `${trouble}, after\n${frameText(bytes)}`
}

/** A machine of a version to come. */
async function otherVersion(check: Check, link: Link): Promise<void> {
  const { report, timeoutMs, trace } = check
  let answer = ''
  const talk = new Conversation({ report: new Report(() => {}), trace, timeoutMs })
  talk.ending = true
  talk.connect(link, { version: 6 })
  await talk.until(() => talk.welcome !== null)
  answer = talk.welcome !== null ? 'welcome' : (talk.over ?? '')
  talk.wire.send({ kind: 'bye', why: '' })
  link.end()
  if (answer === 'welcome' || answer.startsWith('it said bye')) return report.ok(RULES.version, answer)
  const seen = answer === '' ? `nothing within ${timeoutMs / 1000} s` : answer
  report.fail(
    RULES.version,
    `${seen}, after\n${frameText(encodeProtocolFrame({ ...HELLO, version: 6 }))}`,
    'welcome, version 5; or bye',
  )
}

/** The part that sends broken frames, each in its own session. */
export const BROKEN_FRAMES: Part = {
  title: 'Broken frames',
  rules: [RULES.version, ...BROKEN, RULES.survives],
  async run(_, check) {
    const { report, trace } = check
    const skip = (why: string): void => report.skip(why, ...this.rules)
    let link = await check.link()
    if (typeof link === 'string') return skip(link)
    await otherVersion(check, link)
    link.kill()
    let waits = 0
    for (const each of BROKEN) {
      link = await check.link()
      if (typeof link === 'string') {
        report.fail(RULES.survives, link, 'another connection')
        return skip('it takes no further connection')
      }
      const trouble = await one(check, each, link, trace)
      link.kill()
      if (trouble === undefined) report.ok(each)
      else report.fail(each, trouble, 'the end of the connection')
      if (trouble !== undefined && ++waits >= MOST_WAITS) return skip(`${MOST_WAITS} of these were wrong`)
    }
    if ('command' in check.address) report.skip('each session was a program of its own', RULES.survives)
    else report.ok(RULES.survives)
  },
}
