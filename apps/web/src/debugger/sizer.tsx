import { useEffect, useState } from 'preact/hooks'
import { keep, kept } from '../files.ts'

/** An arrow key changes the size by this. */
const STEP_PIXELS = 24
const PREFIX = 'retrap-size '

/** The user's size of a panel, in pixels; null: none yet. */
const keptSize = (name: string): number | null => Number(kept(PREFIX + name)) || null

interface SizerProps {
  /** Name for people, and for the browser's storage. */
  readonly name: string
  /** The sized part is to the right of this bar, or above it. */
  readonly of: 'right' | 'above'
  readonly least: number
  readonly most: number
  /** The part's own size, in pixels, which it has until the user sizes it. */
  readonly initial: () => number
  readonly size: (pixels: number) => void
}

/** A bar between two parts that sizes one of them, by the pointer or arrow keys. Source: WAI-ARIA Authoring Practices, "Window Splitter". */
export function Sizer({ name, of, least, most, initial, size }: SizerProps) {
  const [chosen, setChosen] = useState(() => keptSize(name))
  const pixels = chosen ?? Math.round(initial())
  useEffect(() => (chosen === null ? undefined : size(chosen)), [chosen])
  const change = (wanted: number): void => {
    const next = Math.round(Math.min(most, Math.max(least, wanted)))
    setChosen(next)
    keep(PREFIX + name, String(next))
  }
  const isWide = of === 'right'
  const [larger, smaller] = isWide ? ['ArrowLeft', 'ArrowRight'] : ['ArrowDown', 'ArrowUp']
  return (
    <div
      class={`sizer ${of}`}
      role="separator"
      tabIndex={0}
      aria-label={name}
      aria-orientation={isWide ? 'vertical' : 'horizontal'}
      aria-valuenow={pixels}
      aria-valuemin={least}
      aria-valuemax={most}
      onKeyDown={(event) => {
        if (event.key !== larger && event.key !== smaller) return
        event.preventDefault()
        change(pixels + (event.key === larger ? STEP_PIXELS : -STEP_PIXELS))
      }}
      onPointerDown={(event) => {
        event.preventDefault()
        const bar = event.currentTarget
        bar.setPointerCapture(event.pointerId)
        const [from, at] = [pixels, isWide ? -event.clientX : event.clientY]
        bar.onpointermove = (moved) => change(from + (isWide ? -moved.clientX : moved.clientY) - at)
        bar.onpointerup = bar.onpointercancel = () => (bar.onpointermove = null)
      }}
    />
  )
}
