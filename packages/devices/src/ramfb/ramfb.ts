import {
  type DeviceContext,
  DeviceError,
  type DeviceModel,
  type DisplayBackend,
  type DisplayMode,
  type DisplayRectangle,
  type PixelFormat,
  Stateful,
} from '@retrap/device'
import { TWO_32 } from '@retrap/basics'

/** The writable file of fw_cfg by which a guest says where its picture is. */
export const RAMFB_FILE: string = 'etc/ramfb'

/** Options of {@link Ramfb}. */
export interface RamfbOptions {
  /** The display that shows the picture. */
  readonly display: DisplayBackend
}

/**
 * A picture in guest RAM, which the guest names by a file of fw_cfg: firmware without a driver for a graphics card has a
 * picture by it. The model reads guest RAM only when somebody looks.
 *
 * Source: QEMU, docs/specs/fw_cfg.rst; EDK2, OvmfPkg/QemuRamfbDxe (BSD), the fields of `etc/ramfb`; Linux, drm_fourcc.h.
 */
export class Ramfb extends Stateful implements DeviceModel {
  /** Name of the model in errors, traces and snapshots. */
  readonly name: string = 'ramfb'
  readonly #display: DisplayBackend
  #context: DeviceContext | null = null
  #configuration: Uint8Array = new Uint8Array(0)
  #picture: RamPicture | null = null
  /** The picture that the display shows, and room for the picture after it; whole words. */
  #shown: Uint32Array = new Uint32Array(0)
  #next: Uint32Array = new Uint32Array(0)
  /** Whether the display has to be given the mode: not given yet, or the display was reset. */
  #anew = true

  constructor({ display }: RamfbOptions) {
    super()
    this.#display = display
    this.keeps({
      version: 1,
      configuration: {
        save: () => [...this.#configuration],
        restore: (bytes: readonly number[]) => {
          this.reset()
          this.configure(Uint8Array.from(bytes))
        },
      },
    })
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

  /** Handles the guest's write to the file. An invalid picture keeps the previous one. */
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
    // A picture outside RAM cannot be read: the screen keeps the previous picture.
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
  override reset(): void {
    this.#configuration = new Uint8Array(0)
    this.#picture = null
    this.#anew = true
  }
}

/** Size of the guest's configuration: an address of 64 bits and five words, with the highest byte first. */
export const RAMFB_BYTES: number = 28

const LARGEST_SIDE = 16_384
/** Enough for 5120 by 2880 pixels of four bytes. */
const LARGEST_PICTURE = 2 ** 26
/** Processors address no more. */
const ADDRESSES = 2 ** 52

/** The names of these orders of bytes in Linux's `drm_fourcc.h`, and the bytes of a pixel. */
const FORMATS: Readonly<Record<string, readonly [format: PixelFormat, pixelBytes: number]>> = {
  XR24: ['bgrx8888', 4],
  AR24: ['bgrx8888', 4],
  XB24: ['rgbx8888', 4],
  AB24: ['rgbx8888', 4],
  BX24: ['xrgb8888', 4],
  BA24: ['xrgb8888', 4],
  RX24: ['xbgr8888', 4],
  RA24: ['xbgr8888', 4],
  RG24: ['bgr888', 3],
  RG16: ['rgb565', 2],
  XR15: ['xrgb1555', 2],
}

/** A picture in guest RAM. */
interface RamPicture {
  /** Guest-physical address of the first row. */
  readonly gpa: number
  /** Bytes from the begin of the first row to the end of the last row. */
  readonly bytes: number
  /** Bytes of a row's pixels. */
  readonly rowBytes: number
  readonly mode: DisplayMode
}

/** Decodes the guest's configuration. @returns null for a picture that cannot be shown */
function pictureOf(configuration: Uint8Array): RamPicture | null {
  const view = new DataView(configuration.buffer, configuration.byteOffset, configuration.byteLength)
  const gpa = view.getUint32(0) * TWO_32 + view.getUint32(4)
  // The first letter is in the lowest byte.
  const name = [11, 10, 9, 8].map((at) => String.fromCharCode(configuration[at]!)).join('')
  const [width, height, given] = [view.getUint32(16), view.getUint32(20), view.getUint32(24)]
  if (!Object.hasOwn(FORMATS, name) || !isSide(width) || !isSide(height)) return null
  const [format, pixelBytes] = FORMATS[name]!
  const rowBytes = width * pixelBytes
  const stride = given === 0 ? rowBytes : given
  const bytes = stride * (height - 1) + rowBytes
  if (stride < rowBytes || bytes > LARGEST_PICTURE || gpa + bytes > ADDRESSES) return null
  return { gpa, bytes, rowBytes, mode: { width, height, stride, format } }
}

const isSide = (pixels: number): boolean => pixels > 0 && pixels <= LARGEST_SIDE
