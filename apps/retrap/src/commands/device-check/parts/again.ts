/** Parts that resume the same session over another connection; of timers, refused transfers, and hot plug. */
import { setTimeout } from 'node:timers/promises'
import type { ProtocolFrame } from '@retrap/device-hosting/protocol'
import type { Conversation } from '../conversation.ts'
import { bigOf, frameText } from '../frame-text.ts'
import type { Link } from '../link.ts'
import type { Check, Part } from '../part.ts'
import type { Rule } from '../report.ts'
import { RULES } from '../rules.ts'
import { edgesOf, readEdges, regionsThere, writeEdges } from './accesses.ts'

/** Time for responses to be in transit when the connection breaks. */
const LOSE_MS = 20
const CALLS = 3
/** Bytes after which the first torn frame is cut. */
const TORN_BYTES = 20

/** Connects again. @param least - frames that the server has got at least @returns whether the session goes on */
async function again(talk: Conversation, link: Link, least: number, most: number): Promise<boolean> {
  const { report } = talk
  let welcome: { readonly frame: ProtocolFrame<'welcome'>; readonly bytes: Uint8Array } | null = null
  talk.onWelcome = (frame, bytes) => {
    welcome = { frame, bytes }
    // Frames behind the welcome are of another session.
    if (bigOf(frame.session) !== talk.session) talk.wire.drop()
  }
  talk.connect(link)
  await talk.until(() => welcome !== null)
  if (welcome === null) {
    report.fail(RULES.goesOn, `no welcome: ${talk.over ?? 'nothing came'}`, 'welcome, with this session')
    return false
  }
  const { frame, bytes } = welcome as { readonly frame: ProtocolFrame<'welcome'>; readonly bytes: Uint8Array }
  const isSame = bigOf(frame.session) === talk.session
  if (isSame && frame.received >= least && frame.received <= most) return true
  const expected = isSame
    ? `received from ${least} to ${most}: so many of this end's frames can have arrived`
    : `session 0x${talk.session.toString(16)}, which was open a moment ago`
  report.fail(RULES.goesOn, frameText(bytes), expected)
  return false
}

/** Makes reads during which the connection breaks. @returns whether they were answered over the next connection */
async function broken(talk: Conversation, rule: Rule, open: Check['link'], tear: boolean): Promise<boolean> {
  const { wire, report } = talk
  const [region] = regionsThere(talk).filter((each) => edgesOf(each).length > 0)
  if (region === undefined) return false
  const before = wire.sent
  const lost = tear ? undefined : wire.lose()
  if (tear) wire.hold()
  const calls = Array.from({ length: CALLS }, (_, vcpu) =>
    talk.call({ kind: 'read', region: region.region, ...edgesOf(region)[0]!, vcpu, now: talk.time }),
  )
  if (tear) wire.tear(TORN_BYTES)
  else {
    await Promise.race([lost, setTimeout(talk.timeoutMs)])
    await setTimeout(LOSE_MS)
    wire.drop()
  }
  const link = await open()
  if (typeof link === 'string') {
    report.fail(RULES.goesOn, link, 'another connection')
    return false
  }
  if (!(await again(talk, link, tear ? before : wire.seen, tear ? before : wire.sent))) return false
  const missing = (await Promise.all(calls)).filter((answer) => answer === null).length
  if (missing === 0) return true
  report.fail(rule, `${missing} of ${CALLS} calls had no answer`, 'an answer to each, over the next connection')
  return false
}

/** Connections break, with frames lost on both ways. */
export const AGAIN: Part = {
  title: 'Another connection',
  rules: [RULES.goesOn, RULES.lostAnswers, RULES.lostCalls],
  async run(first, check) {
    const { report } = check
    const skip = (why: string): void => report.skip(why, ...this.rules)
    if (!first.wire.counts) return skip('welcome leaves flag 0 out: it cannot')
    if ('command' in check.address)
      return skip('a program that is started has one connection; listen, and give unix: or tcp:')
    const talk = await check.another(first.now)
    if (typeof talk === 'string') return skip(talk)
    if (await broken(talk, RULES.lostAnswers, check.link, false)) {
      report.ok(RULES.goesOn)
      report.ok(RULES.lostAnswers)
      if (await broken(talk, RULES.lostCalls, check.link, true)) report.ok(RULES.lostCalls)
    }
    talk.close('bye')
  },
}

/** Most deadlines to wait for: a timer may set itself again forever. */
const MOST_DEADLINES = 12
/** Tolerance for a timer behind its deadline. */
const LATER_NS = 1_000_000n

/** Advances virtual time to the next deadline. @param laterNs - delay of the timer @returns whether the server has answered */
async function goOn(talk: Conversation, laterNs = 0n): Promise<boolean> {
  const [timer, { deadline }] = [...talk.timers].reduce((first, each) =>
    each[1].deadline < first[1].deadline ? each : first,
  )
  if (deadline + laterNs > talk.now) talk.now = deadline + laterNs
  return talk.expire(timer)
}

/** Virtual time goes on from deadline to deadline. */
export const TIMERS: Part = {
  title: 'Timers',
  rules: [RULES.timers, RULES.lateTimers],
  async run(talk, { writes }) {
    const { report } = talk
    // Writes, as of a driver, may start the devices' timers.
    if (talk.timers.size === 0 && writes) await writeEdges(talk, regionsThere(talk))
    const counts = [0, 0]
    for (let fired = 0; fired < MOST_DEADLINES && talk.timers.size > 0; fired++) {
      const isLate = fired % 2 === 1
      if (!(await goOn(talk, isLate ? LATER_NS : 0n))) return
      counts[isLate ? 1 : 0]!++
    }
    for (const [at, rule] of [RULES.timers, RULES.lateTimers].entries()) {
      if (counts[at] === 0) report.skip(at === 0 ? 'no timer was armed' : 'no timer was armed a second time', rule)
      else report.ok(rule, `${counts[at]} times`)
    }
  },
}

/** The part in which the machine refuses all DMA, as for a function that is not a bus master. */
export const REFUSED: Part = {
  title: 'Transfers',
  rules: [RULES.refused],
  async run(talk, { writes, report }) {
    if (talk.transfers === 0) return report.skip('it has asked for none', RULES.refused)
    if (!writes) return report.skip('--no-writes', RULES.refused)
    const before = talk.transfers
    talk.refuses = true
    const regions = regionsThere(talk)
    let done = (await writeEdges(talk, regions)) !== null && (await readEdges(talk, regions)) !== null
    // Pending work may continue at a deadline.
    for (let fired = 0; done && fired < MOST_DEADLINES && talk.timers.size > 0; fired++) {
      done = await goOn(talk)
    }
    talk.refuses = false
    if (!done) return
    if (talk.transfers === before) report.skip('it has asked for none this time', RULES.refused)
    else report.ok(RULES.refused, `${talk.transfers - before} were refused`)
  },
}

/** Devices that are offered come and go. */
export const PLUG: Part = {
  title: 'Hot plug',
  rules: [RULES.plug, RULES.plugAgain],
  async run(talk) {
    const { report, objects } = talk
    const offered = objects.devices.filter(({ isOffered }) => isOffered)
    if (offered.length === 0) return report.skip('no device is offered', ...this.rules)
    for (const rule of this.rules) {
      for (const { id: device } of offered) {
        const regions = objects.regions().filter((each) => each.device.id === device)
        if ((await talk.call({ kind: 'plug', device, now: talk.time })) === null) return
        if ((await readEdges(talk, regions)) === null) return
        talk.stopTimers(device)
        if ((await talk.call({ kind: 'unplug', device, now: talk.time })) === null) return
      }
      report.ok(rule)
    }
  },
}
