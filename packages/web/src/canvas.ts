import type { KeyChange, PointerChange, SentFrame, SentRectangle } from './protocol.ts'
import { type FingerMove, TouchPointer } from './touch.ts'

/** Options for showing a machine on a canvas. */
export interface CanvasOptions {
  /** Whether keys, mouse and touch on the canvas go to the guest. Default true. */
  readonly input?: boolean
  /** Whether a click catches the mouse for a guest with a relative pointer; Escape frees it. Default true. */
  readonly pointerLock?: boolean
}

/** Subscribes to frames. @returns a function that unsubscribes */
type Watch = (draw: (frame: SentFrame, pixels: Uint32Array | null) => void) => () => void

/** Shows a machine's screen on a canvas. @returns a function that ends the display */
export function attachCanvas(
  machine: InputMachine,
  canvas: HTMLCanvasElement,
  options: CanvasOptions,
  watch: Watch,
): () => void {
  const stop = watch(painterOf(canvas))
  const stopInput = options.input === false ? undefined : attachInput(machine, canvas, options.pointerLock ?? true)
  return () => {
    stop()
    stopInput?.()
  }
}

/** Returns a function that draws frames on a canvas. */
function painterOf(canvas: HTMLCanvasElement): Parameters<Watch>[0] {
  const context = canvas.getContext('2d', { alpha: false })!
  let scratch = new Uint32Array(0)
  /** Takes a part out of shared memory, of which a canvas takes nothing. */
  const taken = ({ x, y, width, height }: SentRectangle, pixels: Uint32Array, stride: number) => {
    const count = width * height
    if (scratch.length < count) scratch = new Uint32Array(count)
    for (let row = 0; row < height; row++) {
      const from = (y + row) * stride + x
      scratch.set(pixels.subarray(from, from + width), row * width)
    }
    return scratch.subarray(0, count)
  }
  return ({ width, height, dirty }, pixels) => {
    if (width === 0) return context.clearRect(0, 0, canvas.width, canvas.height)
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width
      canvas.height = height
    }
    for (const area of dirty) {
      if (area.width === 0 || area.height === 0) continue
      const own = area.pixels ?? (pixels && pixels.length >= width * height ? taken(area, pixels, width) : null)
      if (own === null) continue
      const bytes = new Uint8ClampedArray(own.buffer, own.byteOffset, own.byteLength)
      context.putImageData(new ImageData(bytes, area.width, area.height), area.x, area.y)
    }
  }
}

/** The part of a machine that a canvas's input uses. */
interface InputMachine {
  readonly pointer: 'none' | 'relative' | 'absolute'
  sendKeys(keys: readonly KeyChange[]): void
  sendPointer(events: readonly PointerChange[]): void
}

/** By `MouseEvent.button`. */
const BUTTONS = ['left', 'middle', 'right', 'back', 'forward'] as const
/** Pixels of a detent, where the browser counts pixels. */
const DETENT_PIXELS = 100

/** Returns a listener that sends the machine whole detents of a wheel. */
function wheelSender(machine: InputMachine): (event: WheelEvent) => void {
  /** Movement not sent yet. */
  let turned = 0
  return (event) => {
    event.preventDefault()
    // Away from the user is positive, which scrolls up. A touch pad sends parts of a detent.
    const detents = event.deltaMode === WheelEvent.DOM_DELTA_PIXEL ? event.deltaY / DETENT_PIXELS : event.deltaY
    turned = Math.sign(turned) === -Math.sign(detents) ? turned - detents : -detents
    const vertical = Math.trunc(turned)
    turned -= vertical
    if (vertical !== 0) machine.sendPointer([{ kind: 'wheel', vertical }])
  }
}

/**
 * Has the keys, mouse and touch of an element go to a machine. Control and Alt with G, or with Escape, are left to the page: they take
 * the focus off the element, so that a person without a mouse comes out again. Tab then goes on behind the element.
 *
 * @returns a function that ends the connection
 */
function attachInput(machine: InputMachine, element: HTMLElement, pointerLock: boolean): () => void {
  const control = new AbortController()
  const { signal } = control
  const held = new Set<string>()
  const keys = (code: string, down: boolean): void => machine.sendKeys([{ code, down }])
  const release = (): void => {
    machine.sendKeys([...held].map((code) => ({ code, down: false })))
    held.clear()
  }

  const onKeyDown = (event: KeyboardEvent): void => {
    if ((event.code === 'KeyG' || event.code === 'Escape') && event.ctrlKey && event.altKey) {
      event.preventDefault()
      release()
      element.blur()
      return
    }
    event.preventDefault()
    // Ignored, because the guest's keyboard repeats keys itself.
    if (event.repeat || event.code === '') return
    held.add(event.code)
    keys(event.code, true)
  }
  const onKeyUp = (event: KeyboardEvent): void => {
    event.preventDefault()
    // Ignored, because the key was pressed outside this element.
    if (!held.delete(event.code)) return
    keys(event.code, false)
  }
  const isCaught = (): boolean => document.pointerLockElement === element
  const fingers = new TouchPointer(machine)
  const placeOf = (event: PointerEvent, dx: number, dy: number): FingerMove => {
    const { left, top, width, height } = element.getBoundingClientRect()
    const place = (at: number, start: number, length: number): number => Math.min(Math.max((at - start) / length, 0), 1)
    return { kind: 'move', dx, dy, x: place(event.clientX, left, width), y: place(event.clientY, top, height) }
  }
  const onMove = (event: PointerEvent): void => {
    if (event.pointerType === 'touch') fingers.move(event, placeOf(event, 0, 0))
    else machine.sendPointer([placeOf(event, event.movementX, event.movementY)])
  }
  const onButton = (event: PointerEvent, down: boolean): void => {
    event.preventDefault()
    onMove(event)
    machine.sendPointer([{ kind: 'button', button: BUTTONS[event.button] ?? 'left', down }])
  }

  element.addEventListener('keydown', onKeyDown, { signal })
  element.addEventListener('keyup', onKeyUp, { signal })
  element.addEventListener('blur', release, { signal })
  // Touches go to the guest, and do not scroll the page.
  const { touchAction } = element.style
  element.style.touchAction = 'none'
  element.addEventListener('pointermove', onMove, { signal })
  element.addEventListener(
    'pointerdown',
    (event) => {
      element.focus()
      if (event.pointerType === 'touch') {
        event.preventDefault()
        element.setPointerCapture(event.pointerId)
        fingers.down(event, placeOf(event, 0, 0))
        return
      }
      if (pointerLock && event.pointerType === 'mouse' && machine.pointer === 'relative' && !isCaught())
        void Promise.resolve(element.requestPointerLock()).catch(() => {})
      else element.setPointerCapture(event.pointerId)
      onButton(event, true)
    },
    { signal },
  )
  element.addEventListener(
    'pointerup',
    (event) => {
      if (event.pointerType === 'touch') fingers.up(event)
      else onButton(event, false)
    },
    { signal },
  )
  element.addEventListener('pointercancel', (event) => event.pointerType === 'touch' && fingers.cancel(event), {
    signal,
  })
  element.addEventListener('contextmenu', (event) => event.preventDefault(), { signal })
  element.addEventListener('wheel', wheelSender(machine), { signal, passive: false })
  return () => {
    control.abort()
    release()
    fingers.end()
    element.style.touchAction = touchAction
    if (isCaught()) document.exitPointerLock()
  }
}
