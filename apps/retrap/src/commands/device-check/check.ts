/** `retrap device-check`: a machine that a server of the device protocol is shown to. */
import { setTimeout } from 'node:timers/promises'
import type { ProgramAddress } from '../../machine/devices/device-programs.ts'
import { plainLine } from '@retrap/basics'
import { describeThrown } from '@retrap/device/host'
import { Conversation } from './conversation.ts'
import { type Link, openLink } from './link.ts'
import type { Check, Part } from './part.ts'
import { ACCESSES, ACKNOWLEDGED } from './parts/accesses.ts'
import { AGAIN, PLUG, REFUSED, TIMERS } from './parts/again.ts'
import { BROKEN_FRAMES } from './parts/broken.ts'
import { ELSEWHERE, POWER_ON, RESET, RESTORE } from './parts/state.ts'
import { Report, type Rule } from './report.ts'
import { RULES } from './rules.ts'

/** The options of {@link checkDevice}. */
export interface DeviceCheckOptions {
  readonly address: ProgramAddress
  /** The guest may write to regions. Default true. */
  readonly writes?: boolean
  /** Time limit for a call, in milliseconds. Default 5000. */
  readonly timeoutMs?: number
  /** Parts to look at, apart from the opening. Default all. */
  readonly parts?: readonly Part[]
  /** Prints each frame. */
  readonly trace?: boolean
  /** Takes a line of the report. */
  readonly print: (line: string) => void
}

const TIMEOUT_MS = 5000
/** Time limit of a whole check, in multiples of a call's. */
const MOST_TIMEOUTS = 40
const RETRY_MS = 50
/** A program that cannot be started ends within this time. */
const START_MS = 150

const OPENING = [RULES.opens, RULES.welcome, RULES.newSession, RULES.ready, RULES.before, RULES.numbers, RULES.pci]
/** Rules for each frame of all sessions. */
const THROUGHOUT = [
  ...[RULES.length, RULES.layout, RULES.padding, RULES.kinds, RULES.limits, RULES.declared, RULES.later, RULES.once],
  ...[
    RULES.right,
    RULES.inTime,
    RULES.errors,
    RULES.result,
    RULES.transfers,
    RULES.past,
    RULES.counts,
    RULES.faults,
    RULES.stays,
  ],
]

/** Ends the session of a server that goes on. */
const BYE: Part = {
  title: 'The end',
  rules: [RULES.bye],
  async run(talk, { report, timeoutMs }) {
    const { link } = talk.wire
    if (link === null) return
    talk.ending = true
    talk.wire.send({ kind: 'bye', why: 'device-check has seen enough' })
    link.end()
    const late = setTimeout(timeoutMs, null, { ref: false })
    const end = await Promise.race([link.ended ?? link.closed, late])
    talk.close('it was ended')
    if (end === null) {
      const seen = link.ended === null ? 'the connection is open' : 'its program runs'
      report.fail(RULES.bye, `${seen} ${timeoutMs / 1000} s after bye`, 'the end')
    } else if (typeof end === 'object' && end.signal !== null)
      report.fail(RULES.bye, `it ${end.how} at bye`, 'an end by itself')
    else report.ok(RULES.bye, typeof end === 'object' ? `it ${end.how}` : '')
  },
}

/** Parts of the check that open further sessions. */
const FURTHER: readonly Part[] = [ELSEWHERE, AGAIN, BROKEN_FRAMES]
export const PARTS: readonly Part[] = [
  ...[POWER_ON, ACCESSES, RESET, TIMERS, RESTORE, REFUSED, PLUG, ACKNOWLEDGED, BYE],
  ...FURTHER,
]

/**
 * Checks a server of the device protocol.
 *
 * @returns whether the server has obeyed all checked rules
 */
export async function checkDevice(options: DeviceCheckOptions): Promise<boolean> {
  const { address, print, writes = true, timeoutMs = TIMEOUT_MS, parts = PARTS } = options
  const report = new Report(print)
  const links: Link[] = []
  const talks: Conversation[] = []
  const trace = options.trace === true ? print : null
  const tell = (line: string): void => print(`      | ${plainLine(line)}`)
  let isOver = false
  const limit = globalThis.setTimeout(() => {
    isOver = true
    const seen = `the check is not at its end after ${(MOST_TIMEOUTS * timeoutMs) / 1000} s`
    report.fail(RULES.inTime, seen, 'a server that answers sooner')
    for (const talk of talks) talk.close('the time is over')
    for (const link of links) link.kill()
  }, MOST_TIMEOUTS * timeoutMs)

  /** Another server may just be starting, or ending a session. */
  const link = async (): Promise<Link | string> => {
    const end = performance.now() + timeoutMs
    for (;;) {
      if (isOver) return 'the time is over'
      try {
        const opened = await openLink(address, tell)
        links.push(opened)
        return opened
      } catch (error) {
        if (performance.now() > end) return describeThrown(error)
        await setTimeout(RETRY_MS)
      }
    }
  }
  const begin = (now?: bigint): Conversation => {
    const talk = new Conversation({ report, trace, timeoutMs, ...(now !== undefined && { now }) })
    talks.push(talk)
    return talk
  }
  const another = async (now?: bigint): Promise<Conversation | string> => {
    const opened = await link()
    if (typeof opened === 'string') return `it takes no further connection: ${opened}`
    const talk = begin(now)
    return (await talk.open(opened)) ? talk : `a further session was not ready: ${talk.over ?? 'nothing came'}`
  }
  const check: Check = { ...{ report, address, writes, timeoutMs, trace, link, another }, states: new Map() }

  try {
    const talk = begin()
    await opening(talk, check)
    if (talk.isReady) {
      for (const part of parts) await run(part, talk, check, FURTHER.includes(part) ? null : talk.over)
      report.part('Each frame of all sessions')
      for (const rule of THROUGHOUT) throughout(rule, talk, report)
    } else print('\nNothing else could be looked at.')
  } finally {
    clearTimeout(limit)
    for (const talk of talks) talk.close('the end')
    for (const opened of links) opened.kill()
  }
  print(`\n${report.summary}`)
  return report.count('FAIL') === 0
}

async function opening(talk: Conversation, { report, link, timeoutMs }: Check): Promise<void> {
  report.part('The opening')
  const opened = await link()
  const early = typeof opened === 'string' ? null : await endedAtOnce(opened)
  if (typeof opened === 'string') {
    report.fail(RULES.opens, opened, 'a connection')
    talk.close('nobody takes the connection')
  } else if (early !== null) {
    report.fail(RULES.program, early, 'a program that goes on until bye')
    talk.close(early)
  } else {
    if (opened.ended !== null) report.ok(RULES.program)
    report.ok(RULES.opens)
    const isReady = await talk.open(opened)
    await talk.explained
    if (!isReady) {
      const rule = talk.welcome === null ? RULES.welcome : RULES.ready
      const seen = talk.over ?? `${talk.welcome === null ? 'nothing' : 'no ready'} within ${timeoutMs / 1000} s`
      if (!report.has(rule)) report.fail(rule, seen, talk.welcome === null ? 'welcome, version 5' : 'ready')
      talk.close(seen)
    }
    const trouble = talk.isReady ? talk.objects.pciTrouble() : undefined
    if (trouble !== undefined) report.fail(RULES.pci, trouble, 'functions that can be made')
  }
  const functions = talk.objects.devices.flatMap((device) => device.functions)
  for (const rule of OPENING) {
    if (report.has(rule)) continue
    if (!talk.isReady) report.skip(talk.over ?? 'it was not ready', rule)
    else if (rule === RULES.pci && functions.length === 0) report.skip('no device has one', rule)
    else report.ok(rule, rule === RULES.ready ? counted(talk) : '')
  }
}

/** @returns how the program has ended; null: the program runs, or the check started none */
async function endedAtOnce({ ended }: Link): Promise<string | null> {
  if (ended === null) return null
  const end = await Promise.race([ended, setTimeout(START_MS, null)])
  return end === null ? null : `it ${end.how}`
}

const counted = ({ objects }: Conversation): string =>
  `${objects.devices.map(({ name }) => plainLine(name)).join(', ')}: ${objects.regions().length} regions`

async function run(part: Part, talk: Conversation, check: Check, over: string | null): Promise<void> {
  const { report } = check
  report.part(part.title)
  if (over === null) await part.run(talk, check)
  await talk.explained
  const why = over ?? talk.over ?? 'a call before it had no answer'
  for (const rule of part.rules) {
    if (report.has(rule)) continue
    // A session that has reached the end of the part has obeyed this rule, because each of its frames was checked.
    if (rule === RULES.quiet && over === null && talk.over === null) report.ok(rule)
    else report.skip(why, rule)
  }
}

function throughout(rule: Rule, talk: Conversation, report: Report): void {
  if (report.has(rule)) return
  if (rule === RULES.counts && !talk.wire.counts) report.skip('welcome leaves flag 0 out', rule)
  else report.ok(rule)
}
