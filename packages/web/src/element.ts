import { WebError } from './errors.ts'
import { createMachine, type Machine } from './machine.ts'
import type { MachineOptions } from './options.ts'
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
const IMAGES = ['kernel', 'initrd', 'firmware', 'vga-bios', 'cdrom', 'disk'] as const
const UNITS: Readonly<Record<string, number>> = { '': 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30 }

/** The element `<retrap-machine>`. */
export interface MachineElement extends HTMLElement {
  /** The machine, once there is one. */
  readonly machine: Machine | null
}

// There is no HTMLElement outside a page, where the module may be loaded all the same.
const Base = (globalThis.HTMLElement ?? Object) as typeof HTMLElement

/** The class of the element. */
class RetrapMachineElement extends Base implements MachineElement {
  #machine: Machine | null = null
  #giveUp: AbortController | null = null

  /** The machine, once there is one. */
  get machine(): Machine | null {
    return this.#machine
  }

  /** The element is in a page. */
  connectedCallback(): void {
    this.#giveUp = new AbortController()
    void this.#start(this.#giveUp.signal)
  }

  /** The element has left its page. */
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
        ...this.#options(),
        signal,
        onProgress: ({ image, loadedBytes, totalBytes }) => {
          const of = totalBytes === null ? '' : ` of ${Math.ceil(totalBytes / 1024)}`
          note.textContent = `${image}: ${Math.ceil(loadedBytes / 1024)}${of} KiB`
        },
      })
      this.#machine = machine
      note.textContent = ''
      machine.on('resize', ({ width }) => canvas.toggleAttribute('data-on', width > 0))
      machine.on('warning', (message) => (note.textContent = message))
      machine.on(
        'exit',
        ({ reason, detail }) => (note.textContent = detail?.message ?? `The machine is off: ${reason}.`),
      )
      machine.attachCanvas(canvas)
      machine.attachTerminal(new PlainTerminal(serial))
      this.dispatchEvent(new CustomEvent('ready', { detail: machine }))
      // How it ends is told by its events.
      if (this.hasAttribute('autostart')) machine.run().catch(() => {})
    } catch (error) {
      if (signal.aborted) return
      note.textContent = error instanceof Error ? error.message : String(error)
      this.dispatchEvent(new CustomEvent('error', { detail: note.textContent }))
    }
  }

  #options(): MachineOptions {
    const given = (name: string): string | undefined => this.getAttribute(name) ?? undefined
    const [kernel, initrd, firmware, vgaBios, cdrom, disk] = IMAGES.map(given)
    const drives = [
      ...(disk === undefined ? [] : [{ source: disk }]),
      ...(cdrom === undefined ? [] : [{ source: cdrom, media: 'cdrom' as const }]),
    ]
    const [memory, cpus, commandLine, vga] = ['memory', 'cpus', 'command-line', 'vga'].map(given)
    return {
      ...(kernel !== undefined && { kernel }),
      ...(initrd !== undefined && { initrd }),
      ...(firmware !== undefined && { firmware }),
      ...(vgaBios !== undefined && { vgaBios }),
      ...(drives.length > 0 && { drives }),
      ...(memory !== undefined && { memoryBytes: bytesOf(memory) }),
      ...(cpus !== undefined && { cpus: Number(cpus) }),
      ...(commandLine !== undefined && { commandLine }),
      ...((vga === 'std' || vga === 'none') && { vga }),
    }
  }
}

function add<K extends keyof HTMLElementTagNameMap>(
  name: K,
  properties: Partial<HTMLElementTagNameMap[K]>,
): HTMLElementTagNameMap[K] {
  return Object.assign(document.createElement(name), properties)
}

/** @throws WebError `ERR_OPTION` */
function bytesOf(memory: string): number {
  const [, count, unit = ''] = /^(\d+)([kmg]?)(?:i?b)?$/i.exec(memory.trim()) ?? []
  if (count === undefined) throw new WebError('ERR_OPTION', `memory '${memory}': expected a size such as 512M or 1G`)
  return Number(count) * UNITS[unit.toLowerCase()]!
}

/**
 * Makes an element known to the page; does nothing where the name is taken.
 *
 * `<retrap-machine kernel="bzImage" memory="256M" autostart></retrap-machine>`: a machine with its screen, and with the text
 * of its serial port, which is typed on too. It is made when the element is put into a page, and goes with it.
 *
 * Attributes: `kernel`, `initrd`, `firmware`, `vga-bios`, `disk` and `cdrom` are addresses; `command-line`, `memory`, `cpus`,
 * `vga`; `autostart` runs it at once. Events: `ready`, and `error` with the message as its `detail`.
 */
export function defineMachineElement(name = 'retrap-machine'): void {
  if (customElements.get(name) === undefined) customElements.define(name, RetrapMachineElement)
}
