import { rename, writeFile } from 'node:fs/promises'
import { Screen } from '@retrap/display'
import { troubled } from '@retrap/linux-guest/errors'
import { checkTarget, refuseSpecial } from '@retrap/linux-guest/host/files'
import type { SessionOutput } from '../session/session-host.ts'
import type { DisplaySettings } from './display-option.ts'
import { TerminalDisplay } from './terminal-display.ts'
import { SessionVnc } from './vnc-target.ts'

/** A terminal is no faster. */
const TERMINAL_INTERVAL_MS = 100
/** A file is written no more often. */
const FILE_INTERVAL_MS = 1000

/** The screen of a session with its outputs, across successive machines. */
export class SessionDisplay {
  readonly screen: Screen
  /** The VNC server that shows the screen, with the keyboard and mouse of its clients. */
  readonly vnc: SessionVnc | undefined
  /** The terminal that shows the screen, and whose keys go to the guest. */
  readonly terminal: TerminalDisplay | undefined
  readonly #settings: DisplaySettings
  readonly #onError: (message: string) => void
  #stop: (() => void) | undefined
  /** Resolves when the file in progress is written. */
  #writing: Promise<void> = Promise.resolve()
  #timer: NodeJS.Timeout | undefined

  /** @param onError - called once with the reason why the picture cannot be written */
  constructor(settings: DisplaySettings, output: SessionOutput, onError: (message: string) => void) {
    this.#settings = settings
    this.#onError = onError
    const { target } = settings
    this.screen = new Screen(target.kind === 'vnc' ? {} : { intervalMs: TERMINAL_INTERVAL_MS })
    this.vnc = target.kind === 'vnc' ? new SessionVnc(target, this.screen) : undefined
    this.terminal = target.kind === 'terminal' ? new TerminalDisplay(this.screen, output, target.layout) : undefined
  }

  /** Begins to show the picture; notes for the user are written to `say`. @throws CliError */
  async open(say: SessionOutput): Promise<void> {
    const { target, screenshot } = this.#settings
    if (target.kind === 'png') await checkTarget('--display', target.path)
    if (screenshot !== undefined) await checkTarget('--screenshot-on-exit', screenshot)
    this.terminal?.open()
    if (target.kind === 'png') this.#openFile(target.path)
    await this.vnc?.open(say)
  }

  #openFile(path: string): void {
    let changed = false
    const write = async (): Promise<void> => {
      changed = false
      await this.#writeFile('--display', path).catch((error: unknown) => this.#fail(error))
      this.#timer = undefined
      if (changed) wait()
    }
    // Pictures are written one at a time: on a busy host a write takes longer than the interval.
    const wait = (): void => {
      this.#timer ??= setTimeout(() => {
        this.#writing = write()
      }, FILE_INTERVAL_MS)
    }
    this.#stop = this.screen.watch(() => {
      if (this.screen.width === 0) return
      changed = true
      wait()
    })
  }

  #fail(error: unknown): void {
    this.#stop?.()
    this.#stop = undefined
    this.#onError(error instanceof Error ? error.message : String(error))
  }

  /** A reader of the file never finds half of a picture. */
  async #writeFile(option: string, path: string): Promise<void> {
    const png = await this.screen.toPng()
    const half = `${path}.part`
    await refuseSpecial(path)
      .then(() => writeFile(half, png))
      .then(() => rename(half, path))
      .catch(troubled(`${option}: ${path}`))
  }

  /**
   * Takes the last pictures, before the last machine is closed.
   *
   * @returns the reason if a picture could not be taken
   */
  async finish(): Promise<string | undefined> {
    const { target, screenshot } = this.#settings
    const watched = this.#stop !== undefined
    clearTimeout(this.#timer)
    await this.#writing
    this.screen.refresh()
    // A write may have begun to wait for another frame.
    this.#leave()
    try {
      if (target.kind === 'png' && watched && this.screen.width > 0) await this.#writeFile('--display', target.path)
      if (screenshot === undefined) return undefined
      if (this.screen.width === 0) return `--screenshot-on-exit ${screenshot}: the machine's display is off`
      await this.#writeFile('--screenshot-on-exit', screenshot)
      return undefined
    } catch (error) {
      return error instanceof Error ? error.message : String(error)
    }
  }

  /** Closes the outputs, even if no machine has reached its end. */
  async close(): Promise<void> {
    this.#leave()
    await this.vnc?.listener?.close()
  }

  /** Looks at the screen no more, and gives the terminal back. */
  #leave(): void {
    // The last change is written at the end.
    clearTimeout(this.#timer)
    this.#stop?.()
    this.#stop = undefined
    this.terminal?.close()
  }
}
