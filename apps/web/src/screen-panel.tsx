import type { Machine } from '@retrap/web'
import { useEffect, useRef, useState } from 'preact/hooks'
import { download } from './files.ts'

/** The machine's screen, as large as whole pixels fit; hidden while the display is off. */
export function ScreenPanel({ machine }: { machine: Machine }) {
  const canvas = useRef<HTMLCanvasElement>(null)
  const panel = useRef<HTMLDivElement>(null)
  const [size, setSize] = useState(machine.screenSize)
  useEffect(() => machine.attachCanvas(canvas.current!), [machine])
  useEffect(() => machine.on('resize', setSize), [machine])
  useEffect(() => {
    const unlock = (): void => {
      if (document.fullscreenElement === null) keyboardLock()?.unlock()
    }
    document.addEventListener('fullscreenchange', unlock)
    return () => document.removeEventListener('fullscreenchange', unlock)
  }, [])
  useEffect(() => {
    const fit = (): void => scale(canvas.current!, panel.current!, size.width, size.height)
    const observer = new ResizeObserver(fit)
    observer.observe(panel.current!)
    fit()
    return () => observer.disconnect()
  }, [size])
  return (
    <section hidden={size.width === 0} aria-label="Screen">
      <div class="screen" ref={panel}>
        <canvas
          ref={canvas}
          tabIndex={0}
          role="application"
          aria-label="Screen of the machine. Control, Alt and G together leave it."
        />
      </div>
      <p class="way soft">
        <button class="plain" onClick={() => void fill(panel.current!, canvas.current!)}>
          Full screen
        </button>
        <button class="plain" onClick={() => savePicture(canvas.current!)}>
          Save picture
        </button>
        <span>
          <kbd>Ctrl-Alt-G</kbd> leaves the screen
        </span>
      </p>
    </section>
  )
}

/** Saves the screen's picture, pixel by pixel. */
function savePicture(canvas: HTMLCanvasElement): void {
  const time = new Date().toISOString().slice(0, 19).replaceAll(':', '-')
  canvas.toBlob((picture) => {
    if (picture !== null) download(picture, `screen-${time}.png`)
  })
}

/** The lock of keys that some browsers have: keys are the page's own while its picture fills the screen. */
interface KeyboardLock {
  readonly keyboard?: { lock(codes: readonly string[]): Promise<void>; unlock(): void }
}

const keyboardLock = (): KeyboardLock['keyboard'] => (navigator as KeyboardLock).keyboard

/** Fills the screen. Keys are the guest's then, Escape too where the browser allows it: held down, it still leaves. */
async function fill(panel: HTMLElement, canvas: HTMLElement): Promise<void> {
  await panel.requestFullscreen()
  canvas.focus()
  await keyboardLock()
    ?.lock(['Escape'])
    .catch(() => {})
}

/** A pixel of the guest is a whole number of the host's; a picture that is too wide is made smaller. */
function scale(canvas: HTMLCanvasElement, panel: HTMLElement, width: number, height: number): void {
  if (width === 0) return
  const isFull = document.fullscreenElement === panel
  const room = isFull ? innerWidth : panel.clientWidth - 8
  const heightRoom = isFull ? innerHeight : Math.max(innerHeight * 0.8, 240)
  const fitting = Math.min((room * devicePixelRatio) / width, (heightRoom * devicePixelRatio) / height)
  const factor = (fitting >= 1 ? Math.floor(fitting) : fitting) / devicePixelRatio
  canvas.style.width = `${width * factor}px`
  canvas.style.height = `${height * factor}px`
  // Letters of which rows are left out cannot be read.
  canvas.style.imageRendering = fitting >= 1 ? 'pixelated' : 'auto'
}
