/** Paths and places of the picture, in pixels. */
import type { FrameLook, ShownFrame, ShownLine } from './run-view.ts'
import type { TimeWindow } from './time-window.ts'

/** Half of the height of the bar that is a machine's life. */
export const HALF_BAR = 5
/** The height of a line below a bar. */
export const LINE = 15
/** The height of a machine's name. */
const NAME = 20
const GAP = 12
/** Heights of the axis, and of a row of faults, in pixels. */
export const AXIS = 22
export const FAULT_ROW = 18
/** The width of a character of a line. */
const CHARACTER = 6.65
const MOST_CHARACTERS = 60

export interface LanePlace {
  readonly machine: number
  readonly top: number
  /** The middle of the bar. */
  readonly bar: number
  /** The baseline of the first line. */
  readonly line: number
  readonly rows: number
  readonly bottom: number
}

/** Lays lanes out, with as many lines under each as there is room for. */
export function lanesOf(machines: readonly number[], faultRows: number, height: number): readonly LanePlace[] {
  const first = AXIS + faultRows * FAULT_ROW + 4
  const fixed = NAME + 2 * HALF_BAR + GAP
  const room = (height - first) / Math.max(1, machines.length)
  const rows = Math.min(14, Math.max(2, Math.floor((room - fixed) / LINE)))
  const each = Math.max(fixed + rows * LINE, Math.min(room, fixed + (rows + 1) * LINE))
  return machines.map((machine, i) => {
    const top = first + i * each
    const bar = top + NAME + HALF_BAR
    return { machine, top, bar, rows, line: bar + HALF_BAR + LINE, bottom: top + each }
  })
}

export interface Scale {
  readonly seen: TimeWindow
  readonly width: number
}

/** Place of an instant. */
export const xOf = ({ seen: { from, to }, width }: Scale, ns: number): number => ((ns - from) / (to - from)) * width
/** Instant of a place. */
export const nsAt = ({ seen: { from, to }, width }: Scale, x: number): number => from + (x / width) * (to - from)

/** Frames that are drawn as one arrow. */
export interface Arrow {
  readonly x1: number
  readonly y1: number
  readonly x2: number
  readonly y2: number
  readonly look: FrameLook
  /** Frames of the arrow, at least one. */
  readonly frames: ShownFrame[]
}

/** Frames nearer than this are one arrow. */
const NEAR = 3

/** Index of the first one from an instant on. */
function firstFrom<T>(all: readonly T[], ns: number, of: (one: T) => number): number {
  let [low, high] = [0, all.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    if (of(all[middle]!) < ns) low = middle + 1
    else high = middle
  }
  return low
}

/** The arrows that are seen. Frames of one way that are too near to be told apart are one. */
export function arrowsOf(
  frames: readonly ShownFrame[],
  longestWay: number,
  scale: Scale,
  lanes: readonly LanePlace[],
): readonly Arrow[] {
  const { from, to } = scale.seen
  const bars = new Map(lanes.map(({ machine, bar }) => [machine, bar]))
  // Arrows are grouped by instants of the run, so that they stay together while they move.
  const near = 2 ** Math.ceil(Math.log2(((to - from) / scale.width) * NEAR))
  const found = new Map<string, Arrow>()
  for (let i = firstFrom(frames, from - longestWay, ({ sent }) => sent); i < frames.length; i++) {
    const frame = frames[i]!
    const { sent, arrives = sent } = frame
    if (sent > to) break
    if (arrives < from) continue
    const [y1, y2] = [bars.get(frame.from), bars.get(frame.to)]
    if (y1 === undefined || y2 === undefined) continue
    const key = `${frame.from} ${frame.to} ${frame.look} ${Math.floor(sent / near)} ${Math.floor(arrives / near)}`
    const known = found.get(key)
    if (known !== undefined) known.frames.push(frame)
    else {
      const down = Math.sign(y2 - y1) * HALF_BAR
      const [x1, x2] = [xOf(scale, sent), xOf(scale, arrives)]
      found.set(key, { x1, x2, y1: y1 + down, y2: y2 - down, look: frame.look, frames: [frame] })
    }
  }
  return [...found.values()]
}

/** More arrows than this have no heads. */
const MOST_HEADS = 1200
const digits = (value: number): string => value.toFixed(1)

/** The arrow of a lost frame has this part of its length. */
const LOST = 0.6
const endOf = ({ x1, y1, x2, y2, look }: Arrow): readonly [number, number] =>
  look === 'lost' ? [x1 + (x2 - x1) * LOST, y1 + (y2 - y1) * LOST] : [x2, y2]

/** Arrows as a path of lines, with a head or the cross of a lost frame at each end. */
export function linesPath(arrows: readonly Arrow[], isCrowded = arrows.length > MOST_HEADS): string {
  return arrows
    .map((arrow) => {
      const { x1, y1 } = arrow
      const [x, y] = endOf(arrow)
      const line = `M${digits(x1)} ${digits(y1)}L${digits(x)} ${digits(y)}`
      if (isCrowded) return line
      if (arrow.look === 'lost') return `${line}M${digits(x - 3.5)} ${digits(y - 3.5)}l7 7m0 -7l-7 7`
      const length = Math.hypot(x - x1, y - y1) || 1
      const [dx, dy] = [((x - x1) / length) * 6, ((y - y1) / length) * 6]
      const wing = (side: number): string => `${digits(x - dx - side * dy * 0.45)} ${digits(y - dy + side * dx * 0.45)}`
      return `${line}M${wing(1)}L${digits(x)} ${digits(y)}L${wing(-1)}`
    })
    .join('')
}

/** Finds the arrow at a place. */
export function arrowAt(arrows: readonly Arrow[], x: number, y: number, reach: number): Arrow | undefined {
  let [best, least]: [Arrow | undefined, number] = [undefined, reach]
  for (const arrow of arrows) {
    const { x1, y1 } = arrow
    const [x2, y2] = endOf(arrow)
    const length = (x2 - x1) ** 2 + (y2 - y1) ** 2
    const part = length === 0 ? 0 : Math.min(1, Math.max(0, ((x - x1) * (x2 - x1) + (y - y1) * (y2 - y1)) / length))
    const far = Math.hypot(x - x1 - part * (x2 - x1), y - y1 - part * (y2 - y1))
    if (far >= least) continue
    ;[best, least] = [arrow, far]
  }
  return best
}

/** A line of text, where there is room for it. */
interface PlacedLine {
  readonly line: ShownLine
  readonly text: string
  readonly x: number
  readonly row: number
  /** The text ends at its instant, as there is no room on the right. */
  readonly isBefore: boolean
}

/** Finds room for lines. All that are seen have a tick. */
export function placeLines(
  lines: readonly ShownLine[],
  scale: Scale,
  rows: number,
): { readonly placed: readonly PlacedLine[]; readonly ticks: readonly number[] } {
  const { from, to } = scale.seen
  const seen: ShownLine[] = []
  for (let i = firstFrom(lines, from, ({ ns }) => ns); i < lines.length && lines[i]!.ns <= to; i++) seen.push(lines[i]!)
  const ticks = [...new Set(seen.map(({ ns }) => Math.round(xOf(scale, ns))))]
  const taken: (readonly [number, number])[][] = Array.from({ length: rows }, () => [])
  const placed: PlacedLine[] = []
  for (const line of seen.toSorted((one, other) => other.weight - one.weight || other.ns - one.ns)) {
    const at = xOf(scale, line.ns)
    const wish = Math.min(MOST_CHARACTERS, line.text.length) * CHARACTER + 10
    const isBefore = at + wish > scale.width && at > scale.width / 2
    const most = Math.floor(Math.min(wish, (isBefore ? at : scale.width - at) - 4) / CHARACTER - 10 / CHARACTER + 0.01)
    const text = line.text.length > most ? `${line.text.slice(0, Math.max(0, most - 1))}…` : line.text
    const size = text.length * CHARACTER + 10
    const [left, right] = isBefore ? [at - size, at] : [at, at + size]
    const row = taken.findIndex((all) => all.every(([a, b]) => b <= left || a >= right))
    if (row < 0) continue
    taken[row]!.push([left, right])
    placed.push({ line, text, row, isBefore, x: at })
  }
  return { placed, ticks }
}
