import { createMachine, type Machine } from './machine.ts'
import { optionsOf } from './element-options.ts'
import { PlainTerminal } from './plain-terminal.ts'

/** The style of the element's inside. A sheet of its own needs no leave of the page's Content-Security-Policy. */
const STYLE = `
:host { display: block; background: #000; color: #ddd; }
:host([hidden]) { display: none; }
canvas { display: none; max-width: 100%; image-rendering: pixelated; outline-offset: 2px; }
canvas[data-on] { display: block; margin: auto; }
pre { margin: 0; padding: 0.5em; overflow: auto; max-height: 30em; font: 14px/1.3 ui-monospace, monospace; white-space: pre-wrap; }
pre:empty, p:empty { display: none; }
p { margin: 0; padding: 0.5em; font: 14px system-ui, sans-serif; }
`

/** The element `<retrap-machine>`. */
export interface MachineElement extends HTMLElement {
  /** The machine; null before its creation. */
  readonly machine: Machine | null
  /** Runs or resumes the machine: at once, or as soon as it is made. */
  start(): void
  /** Stops the machine between two instructions, until `start`. A machine that is not made yet is made and does not run. */
  pause(): void
}

// The module may be loaded outside a page, where HTMLElement does not exist.
const Base = (globalThis.HTMLElement ?? Object) as typeof HTMLElement

/** The class of the element. */
class RetrapMachineElement extends Base implements MachineElement {
  #machine: Machine | null = null
  #giveUp: AbortController | null = null
  /** Whether the machine is to run once it is made; null: as `autostart` and its saved state say. */
  #runs: boolean | null = null

  /** The machine; null before its creation. */
  get machine(): Machine | null {
    return this.#machine
  }

  start(): void {
    this.#runs = true
    // Not an unhandled rejection: the element's events report errors that end the machine.
    this.#machine?.run().catch(() => {})
  }

  pause(): void {
    this.#runs = false
    // A disposed machine stands still.
    this.#machine?.pause().catch(() => {})
  }

  /** The element is in a page. */
  connectedCallback(): void {
    this.#giveUp = new AbortController()
    this.#runs = null
    void this.#start(this.#giveUp.signal)
  }

  /** Called when the element is removed from its page. */
  disconnectedCallback(): void {
    this.#giveUp?.abort()
    this.#machine?.dispose()
    this.#machine = null
    this.shadowRoot?.replaceChildren()
  }

  async #start(signal: AbortSignal): Promise<void> {
    const root = this.shadowRoot ?? this.attachShadow({ mode: 'open' })
    const style = new CSSStyleSheet()
    style.replaceSync(STYLE)
    root.adoptedStyleSheets = [style]
    const canvas = add('canvas', { tabIndex: 0, role: 'img', ariaLabel: 'Screen of the machine' })
    const serial = add('pre', { tabIndex: 0, role: 'log', ariaLabel: 'Serial port of the machine' })
    const note = add('p', { role: 'status' })
    root.replaceChildren(canvas, serial, note)
    try {
      const machine = await createMachine({
        ...optionsOf((name) => this.getAttribute(name)),
        signal,
        onProgress: ({ image, loadedBytes, totalBytes }) => {
          const of = totalBytes === null ? '' : ` of ${Math.ceil(totalBytes / 1024)}`
          note.textContent = `${image}: ${Math.ceil(loadedBytes / 1024)}${of} KiB`
        },
      })
      this.#machine = machine
      note.textContent = machine.turns ?? ''
      machine.on('resize', ({ width }) => canvas.toggleAttribute('data-on', width > 0))
      machine.on('warning', (message) => (note.textContent = message))
      machine.on('trouble', ({ message }) => (note.textContent = message))
      machine.on(
        'exit',
        ({ reason, detail }) => (note.textContent = detail?.message ?? `The machine is off: ${reason}.`),
      )
      machine.attachCanvas(canvas)
      machine.attachTerminal(new PlainTerminal(serial))
      this.dispatchEvent(new CustomEvent('ready', { detail: machine }))
      // A machine that was saved while it was paused stands still until its user lets it go on.
      if (this.#runs ?? (this.hasAttribute('autostart') && machine.state !== 'paused')) this.start()
    } catch (error) {
      if (signal.aborted) return
      note.textContent = error instanceof Error ? error.message : String(error)
      this.dispatchEvent(new CustomEvent('error', { detail: note.textContent }))
    }
  }
}

function add<K extends keyof HTMLElementTagNameMap>(
  name: K,
  properties: Partial<HTMLElementTagNameMap[K]>,
): HTMLElementTagNameMap[K] {
  return Object.assign(document.createElement(name), properties)
}

/**
 * Makes an element known to the page; does nothing where the name is taken.
 *
 * `<retrap-machine kernel="bzImage" memory="256M" autostart></retrap-machine>`: a machine with its screen, and with the text
 * of its serial port, which is typed on too. It is made when the element is put into a page, and goes with it.
 *
 * Attributes: each option of `createMachine` by its name, with hyphens. `kernel`, `initrd`, `firmware`, `vga-bios`, `snapshot`,
 * `recording`, `disk`, `cdrom` and `floppy` are addresses; `memory` is a size such as `512M`; `disk-interface` and `cdrom-interface`, and
 * `keep` for writes to the disk; `network` is the kind, beside `network-name`, `network-url`, `network-card` and `mac-address`; `tablet`
 * and `record` are present or absent; `jit` and `keep-fetched` are `off` or absent; `cpus`, `cpu`, `board`, `command-line`, `vga`,
 * `layout`, `smp`, `hypervisor` and `transport` are as the options are. `autostart` runs it at once, but for a machine that was saved
 * while it was paused; `start()` and `pause()` do later. Events: `ready`, and `error` with the message as its `detail`.
 */
export function defineMachineElement(name = 'retrap-machine'): void {
  if (customElements.get(name) === undefined) customElements.define(name, RetrapMachineElement)
}
