import { RSDP_BYTES } from './tables.ts'

/** A set of ACPI tables, ready to be copied to guest memory. */
export interface AcpiTables {
  /** GPA of the image; also that of the RSDP. */
  readonly rsdpAddress: number
  /** RSDP and all tables. */
  readonly image: Uint8Array
  /** GPA of each table, by signature. */
  readonly addresses: Readonly<Record<string, number>>
}

/** The FACS needs this alignment; all tables use it for simplicity. */
const ALIGNMENT = 64

/** Places tables one after another. The RSDP comes first, and is built last. */
export class TableImage {
  readonly #base: number
  readonly #addresses: Record<string, number> = {}
  readonly #placed: { readonly at: number; readonly bytes: Uint8Array }[] = []
  #next: number

  /** @param base - GPA of the image, a multiple of 64 */
  constructor(base: number) {
    this.#base = base
    this.#next = base + ALIGNMENT * Math.ceil(RSDP_BYTES / ALIGNMENT)
  }

  /** GPA behind the last table. */
  get end(): number {
    return this.#next
  }

  /** Adds a table. @returns its GPA */
  place(signature: string, bytes: Uint8Array): number {
    const at = this.#next
    this.#placed.push({ at, bytes })
    this.#addresses[signature] = at
    this.#next = Math.ceil((at + bytes.length) / ALIGNMENT) * ALIGNMENT
    return at
  }

  /** The whole image. */
  finish(rsdp: Uint8Array): AcpiTables {
    const image = new Uint8Array(this.#next - this.#base)
    for (const { at, bytes } of this.#placed) image.set(bytes, at - this.#base)
    image.set(rsdp, 0)
    return { rsdpAddress: this.#base, image, addresses: this.#addresses }
  }
}
