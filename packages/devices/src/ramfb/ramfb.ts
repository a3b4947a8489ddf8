import {
  type DeviceContext,
  DeviceError,
  type DeviceModel,
  type DisplayBackend,
  type DisplayRectangle,
  savedState,
} from '@retrap/device'
import { pictureOf, RAMFB_BYTES, type RamPicture } from './picture-mode.ts'

export { RAMFB_BYTES } from './picture-mode.ts'

/** The writable file of fw_cfg by which a guest says where its picture is. */
export const RAMFB_FILE: string = 'etc/ramfb'

/** Options of {@link Ramfb}. */
export interface RamfbOptions {
  /** The display that shows the picture. */
  readonly display: DisplayBackend
}

/** Saved form of a {@link Ramfb}. */
export interface RamfbState {
  /** Layout of the state. */
  readonly version: 1
  /** The guest's last configuration that can be shown; empty: none. */
  readonly configuration: readonly number[]
}

/**
 * A picture in guest RAM, which the guest names by a file of fw_cfg: firmware without a driver for a graphics card has a
 * picture by it. The model reads guest RAM only when somebody looks.
 *
 * Source: QEMU, docs/specs/fw_cfg.rst; EDK2, OvmfPkg/QemuRamfbDxe (BSD), the fields of `etc/ramfb`; Linux, drm_fourcc.h.
 */
export class Ramfb implements DeviceModel {
  /** Name of the model in errors, traces and snapshots. */
  readonly name: string = 'ramfb'
  readonly #display: DisplayBackend
  #context: DeviceContext | null = null
  #configuration: Uint8Array = new Uint8Array(0)
  #picture: RamPicture | null = null
  /** The picture that the display shows, and room for the next one; whole words. */
  #shown: Uint32Array = new Uint32Array(0)
  #next: Uint32Array = new Uint32Array(0)
  /** The display has not yet heard of the mode, or has forgotten it. */
  #anew = true

  constructor({ display }: RamfbOptions) {
    this.#display = display
  }

  /** Connects the display. */
  attach(context: DeviceContext): void {
    this.#context = context
    this.#display.connect({
      refresh: () => {
        this.#anew = true
        this.#report()
      },
      update: () => this.#report(),
    })
  }

  /** Takes what the guest has written to the file. A picture that cannot be shown leaves the one before. */
  configure(configuration: Uint8Array): void {
    const picture = configuration.length === RAMFB_BYTES ? pictureOf(configuration) : null
    if (picture === null) return
    this.#configuration = configuration.slice()
    this.#picture = picture
    this.#anew = true
  }

  #report(): void {
    const picture = this.#picture
    if (picture === null) {
      if (this.#anew) this.#display.setMode(null)
      this.#anew = false
      return
    }
    const words = Math.ceil(picture.bytes / 4)
    if (this.#next.length !== words) {
      this.#next = new Uint32Array(words)
      this.#shown = new Uint32Array(words)
    }
    const bytes = new Uint8Array(this.#next.buffer, 0, picture.bytes)
    // A picture that is not in RAM is unknown: what was shown stays.
    const known = this.#read(picture.gpa, bytes)
    if (this.#anew) {
      this.#display.setMode(picture.mode)
      this.#display.setText?.(null)
    }
    if (!known) return
    const { width, height } = picture.mode
    const dirty = this.#anew ? [{ x: 0, y: 0, width, height }] : this.#dirtyRows(picture)
    this.#anew = false
    if (dirty.length === 0) return
    const shown = this.#shown
    this.#shown = this.#next
    this.#next = shown
    this.#display.draw(bytes, dirty)
  }

  /** False as well where the model has been taken out of the machine, and somebody still looks. */
  #read(gpa: number, bytes: Uint8Array): boolean {
    try {
      return this.#context?.dma.read(gpa, bytes) === true
    } catch (error) {
      if (error instanceof DeviceError && error.code === 'ERR_PERMISSION') return false
      throw error
    }
  }

  #dirtyRows({ mode, rowBytes }: RamPicture): DisplayRectangle[] {
    const rectangles: DisplayRectangle[] = []
    for (let y = 0; y < mode.height; y++) {
      const from = y * mode.stride
      if (!this.#differ(from >>> 2, (from + rowBytes + 3) >>> 2)) continue
      const before = rectangles.at(-1)
      if (before !== undefined && before.y + before.height === y)
        rectangles[rectangles.length - 1] = { ...before, height: before.height + 1 }
      else rectangles.push({ x: 0, y, width: mode.width, height: 1 })
    }
    return rectangles
  }

  #differ(from: number, to: number): boolean {
    const [shown, next] = [this.#shown, this.#next]
    for (let i = from; i < to; i++) if (shown[i] !== next[i]) return true
    return false
  }

  /** Shows nothing until the guest names a picture again. */
  reset(): void {
    this.#configuration = new Uint8Array(0)
    this.#picture = null
    this.#anew = true
  }

  /** Returns the state as plain data. */
  save(): RamfbState {
    return { version: 1, configuration: [...this.#configuration] }
  }

  /** Takes over a saved state. Throws `DeviceError` `ERR_STATE` for a state of another version. */
  restore(state: unknown): void {
    const { configuration } = savedState<RamfbState>(this.name, state, 1)
    this.reset()
    this.configure(Uint8Array.from(configuration))
  }
}
