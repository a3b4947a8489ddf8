import {
  type ClusterEvent,
  type ClusterRun,
  type DecodedFrame,
  decodeFrame,
  describeFault,
  FAULT_KINDS,
  type Fault,
  type RunFrame,
  type RunMachine,
  timeText,
} from '@retrap/cluster'

/** The look of a frame: lost, faulty, or by its protocol. */
export type FrameLook = 'lost' | 'hurt' | 'tcp' | 'udp' | 'other'
export const FRAME_LOOKS: readonly FrameLook[] = ['other', 'udp', 'tcp', 'hurt', 'lost']

export interface ShownFrame extends Omit<RunFrame, 'bytes'>, DecodedFrame {
  readonly kind: 'frame'
  readonly look: FrameLook
  /** A shorter line: the payload's begin, if it is a text. */
  readonly brief: string
  /** The line and the payload, in small letters. */
  readonly searched: string
}

/** A line of a machine: of its programs, a report, or about itself. */
export interface ShownLine {
  readonly kind: 'line'
  readonly ns: number
  readonly machine: number
  readonly of: ClusterEvent['kind']
  readonly text: string
  /** Lines of greater weight are shown first where there is no room for all. */
  readonly weight: number
}

/** A fault that came, as a stretch of time over some machines. */
export interface ShownFault {
  readonly kind: 'fault'
  readonly fault: Fault
  readonly from: number
  readonly to: number
  /** The fault as a sentence. */
  readonly text: string
  /** Numbers of its machines. */
  readonly machines: readonly number[]
  readonly isOfWays: boolean
  /** Faults that overlap are in different rows. */
  readonly row: number
}

/** A part of a run that can be looked at. */
export type Item = ShownFrame | ShownLine | ShownFault

export const instantOf = (item: Item): number =>
  item.kind === 'frame' ? item.sent : item.kind === 'line' ? item.ns : item.from

interface LifeStretch {
  readonly from: number
  readonly to: number
  /** `still`: the machine hangs. */
  readonly state: 'on' | 'still'
}

export const CAUSES: Readonly<Record<ShownFrame['causes'][number], string>> = {
  loss: 'It was lost.',
  partition: 'It was lost: its way was cut.',
  off: 'It was lost: its machine was off.',
  duplicate: 'It came twice.',
  reorder: 'It was held up, so that others came first.',
  corrupt: 'One of its bits is wrong.',
}

/** A run, prepared for lanes. */
export interface RunView {
  readonly run: ClusterRun
  /** Frames by the instants at which they were sent. */
  readonly frames: readonly ShownFrame[]
  /** The longest way of a frame, in nanoseconds. */
  readonly longestWay: number
  /** Lines by machine, and by instants. */
  readonly lines: readonly (readonly ShownLine[])[]
  readonly lives: readonly (readonly LifeStretch[])[]
  readonly faults: readonly ShownFault[]
  readonly phases: readonly ClusterEvent[]
}

/** Sequences that set colours of a terminal. */
// oxlint-disable-next-line no-control-regex -- a control character begins them
const COLOURS = /\u001b\[[\d;]*[A-Za-z]/g
/** An address of IPv4 or IPv6, before a port. */
const ADDRESS = /(?:\d+\.\d+\.\d+\.\d+|\[[\da-f:]+\]):/g
/** Characters of a payload in a line. */
const MOST_BRIEF = 60
/** A report that a property holds, or a state was reached. */
const PASSED = /^(?:always|sometimes) \S+ ok\b|^reachable /
const TROUBLE = /\b(?:error|fail|fatal|panic|lost|timed? ?out|refused|violat|unreachable|assert)/i

export function viewOf(run: ClusterRun): RunView {
  const frames = run.frames.map(shownFrame)
  const lines: ShownLine[][] = run.machines.map(() => [])
  const numbers = new Map(run.machines.map(({ name, number }) => [name, number]))
  for (const { ns, kind, machine, text } of run.events) {
    const number = machine === undefined ? undefined : numbers.get(machine)
    if (number === undefined) continue
    const plain = text.replaceAll(COLOURS, '')
    lines[number]!.push({ kind: 'line', ns, machine: number, of: kind, text: plain, weight: weightOf(kind, plain) })
  }
  return {
    ...{ run, frames, lines },
    longestWay: frames.reduce((most, { sent, arrives = sent }) => Math.max(most, arrives - sent), 0),
    lives: run.machines.map(lifeOf),
    faults: faultsOf(run, numbers),
    phases: run.events.filter(({ kind }) => kind === 'phase'),
  }
}

function weightOf(kind: ClusterEvent['kind'], text: string): number {
  if (kind === 'report') return PASSED.test(text) ? 0 : 3
  if (kind === 'output') return TROUBLE.test(text) ? 2 : 0
  return 1
}

function shownFrame({ bytes, ...frame }: RunFrame): ShownFrame {
  const decoded = decodeFrame(bytes)
  const { protocol, text, payload, ports } = decoded
  const usual = protocol === 'TCP' ? 'tcp' : protocol === 'UDP' ? 'udp' : 'other'
  const look = frame.arrives === undefined ? 'lost' : frame.causes.length > 0 ? 'hurt' : usual
  const carried = textOf(payload)
  const named = ports === undefined ? protocol : `${protocol} :${ports[0]} > :${ports[1]}`
  const isText = /[\p{L}\p{N}]{2}/u.test(carried.slice(0, MOST_BRIEF))
  return {
    ...{ ...frame, ...decoded, kind: 'frame', look },
    brief: isText ? `${named}: ${carried.slice(0, MOST_BRIEF).replaceAll(/\s+/g, ' ')}` : text.replaceAll(ADDRESS, ':'),
    searched: [text, carried, ...(look === 'lost' ? ['(lost)'] : []), ...frame.causes.map((cause) => CAUSES[cause])]
      .join(' ')
      .toLowerCase(),
  }
}

/** A payload as text, as far as it is one. */
export const textOf = (payload: Uint8Array): string =>
  // oxlint-disable-next-line no-control-regex -- control characters are no text
  new TextDecoder().decode(payload).replaceAll(/[\0-\u0008\u000b-\u001f\u007f\ufffd]/g, '·')

function lifeOf({ starts }: RunMachine): LifeStretch[] {
  return starts.flatMap(({ ns, until, offsets }) => {
    const stretches: LifeStretch[] = []
    let from = ns
    for (const [i, { ns: at, offset }] of offsets.entries()) {
      const before = offsets[i - 1]
      // Where the offset grows, the machine has stood still.
      if (before === undefined || offset <= before.offset) continue
      const [stop, go] = [at + before.offset, Math.min(until, at + offset)]
      stretches.push({ from, to: stop, state: 'on' }, { from: stop, to: go, state: 'still' })
      from = go
    }
    return [...stretches, { from, to: until, state: 'on' as const }].filter(({ from: a, to }) => to > a)
  })
}

/** The faults that came: faults that a quiet time has kept away are not among the events. */
function faultsOf(
  { faults, faultsBegin, ns, events, machines }: ClusterRun,
  numbers: ReadonlyMap<string, number>,
): ShownFault[] {
  if (faultsBegin === undefined) return []
  const told = new Set(events.filter(({ kind }) => kind === 'fault').map(({ text }) => text))
  const rows: number[] = []
  return faults
    .toSorted((one, other) => one.at - other.at)
    .flatMap((fault) => {
      const from = faultsBegin + fault.at
      if (from >= ns || !told.has(describeFault(fault))) return []
      const to = Math.min(ns, from + fault.for)
      const free = rows.findIndex((until) => until <= from)
      const row = free < 0 ? rows.length : free
      rows[row] = to
      const names = fault.machines ?? fault.cut?.flatMap((way) => way.split('>')) ?? machines.map(({ name }) => name)
      const isOfWays = FAULT_KINDS[fault.kind].place === 'links'
      const own = [...new Set(names)].flatMap((name) => numbers.get(name) ?? [])
      return [{ kind: 'fault', fault, from, to, text: wordsOf(fault), machines: own, isOfWays, row }]
    })
}

const listed = (names: readonly string[]): string =>
  [names.slice(0, -1).join(', '), ...names.slice(-1)].filter(Boolean).join(' and ')

/** Says which machines a cut keeps apart: `north is cut off from east and west`. */
function cutText(cut: readonly string[]): string {
  const ways = new Set(cut)
  /** The machines that each one does not reach; both directions, or its own alone. */
  const reach = (isBoth: boolean): Map<string, string[]> => {
    const found = new Map<string, string[]>()
    for (const way of ways) {
      const [from, to] = way.split('>') as [string, string]
      if (ways.has(`${to}>${from}`) === isBoth) found.set(from, [...(found.get(from) ?? []), to])
    }
    return found
  }
  const told = [true, false].flatMap((isBoth) => {
    const known = new Set<string>()
    /** The machines with the same others, from the one with the most others on: each pair is told once. */
    return [...Map.groupBy([...reach(isBoth)], ([, others]) => others.toSorted().join())]
      .toSorted(([one], [other]) => other.split(',').length - one.split(',').length)
      .flatMap(([others, same]) => {
        const names = same.map(([name]) => name)
        const left = others
          .split(',')
          .filter((other) => !isBoth || names.some((name) => !known.has(`${other}>${name}`)))
        for (const name of names) for (const other of left) known.add(`${name}>${other}`)
        const isOne = names.length === 1
        const how = isBoth ? `${isOne ? 'is' : 'are'} cut off from` : `${isOne ? 'does' : 'do'} not reach`
        return left.length === 0 ? [] : [`${listed(names)} ${how} ${listed(left)}`]
      })
  })
  return told.join('; ') || 'no way is cut'
}

/** Describes a fault by a sentence for people. */
export function wordsOf({ kind, cut, machines = [], amount, for: lasts, lost }: Fault): string {
  const { about, place, takesAmount } = FAULT_KINDS[kind]
  const own = listed(machines)
  const isPart = takesAmount === 'part' && amount !== undefined
  const part = isPart ? about.replace('a part', `${Number((amount * 100).toPrecision(3))} %`) : about
  const where = place === 'links' ? (own === '' ? '' : ` at ${own}`) : ''
  const of = (text: string): string =>
    machines.length === 1 ? text.replace('a machine', own).replace('a disk', `${own}'s disk`) : `${own}: ${text}`
  const what = cut !== undefined ? cutText(cut) : place === 'links' ? part + where : of(part)
  const much = amount === undefined || isPart ? '' : ` (${timeText(amount)})`
  return `${what}${much}, for ${timeText(lasts)}${lost === undefined ? '' : `; ${lost.length} writes lost sectors`}`
}

/** The user's filter. */
export interface Wanted {
  /** Text that lines, frames or payloads must contain; empty: any. */
  readonly text: string
  /** Port of TCP or UDP; empty: any. */
  readonly port: string
  /** Numbers of machines that are not shown. */
  readonly hidden: ReadonlySet<number>
}

/** Returns the frames and lines that pass the filter. */
export function wantedOf(
  view: RunView,
  { text, port, hidden }: Wanted,
): { readonly frames: readonly ShownFrame[]; readonly lines: readonly (readonly ShownLine[])[] } {
  const sought = text.trim().toLowerCase()
  const number = port.trim() === '' ? undefined : Number(port)
  return {
    frames: view.frames.filter(
      ({ from, to, ports, searched }) =>
        !hidden.has(from) &&
        !hidden.has(to) &&
        (number === undefined || ports?.includes(number) === true) &&
        (sought === '' || searched.includes(sought)),
    ),
    lines: view.lines.map((all, machine) =>
      hidden.has(machine) ? [] : sought === '' ? all : all.filter((line) => line.text.toLowerCase().includes(sought)),
    ),
  }
}
