import { concatenate, TWO_32 } from '@retrap/basics'

/** A part of a property's value: a cell of 32 bits, a text, or bytes. */
export type PropertyPart = number | string | Uint8Array

/** Characters and lengths of names (Devicetree Specification 0.4, 2.2.1, "Node Names"; 2.2.4, "Properties"). */
const NODE_NAME = /^[A-Za-z][\w,.+-]{0,30}(?:@[\w,.+-]+)?$/
const PROPERTY_NAME = /^[\w,.+?#-]{1,31}$/
const CELL_BYTES = 4

/**
 * A node of a device tree: properties and children, in the order in which they were added.
 *
 * Source: Devicetree Specification 0.4, chapter 2, "The Devicetree".
 */
export class DeviceTreeNode {
  /** The node's name with its unit address; empty for the root. */
  readonly name: string
  readonly #properties = new Map<string, Uint8Array>()
  readonly #children: DeviceTreeNode[] = []
  #phandle = 0

  private constructor(name: string) {
    this.name = name
  }

  /** Makes a root. */
  static root(): DeviceTreeNode {
    return new DeviceTreeNode('')
  }

  /** Properties by name. */
  get properties(): ReadonlyMap<string, Uint8Array> {
    return this.#properties
  }

  /** Children in order. */
  get children(): readonly DeviceTreeNode[] {
    return this.#children
  }

  /**
   * Adds a child.
   *
   * @param name - name with its unit address: `pl011@9000000`
   * @throws RangeError for a name that is invalid or taken
   */
  add(name: string): DeviceTreeNode {
    if (!NODE_NAME.test(name))
      throw new RangeError(`device tree node '${name}': expected a name, perhaps @ and an address`)
    if (this.#children.some((child) => child.name === name))
      throw new RangeError(`device tree node '${name}': there is one of this name already`)
    const child = new DeviceTreeNode(name)
    this.#children.push(child)
    return child
  }

  /**
   * Sets a property. Without parts the property is empty, like a boolean that is true.
   *
   * @param parts - numbers are cells of 32 bits, texts end with a NUL
   * @throws RangeError for an invalid name, and for a number that does not fit a cell
   */
  set(name: string, ...parts: readonly PropertyPart[]): this {
    if (!PROPERTY_NAME.test(name))
      throw new RangeError(`device tree property '${name}': expected 1 to 31 letters, digits or , . _ + ? # -`)
    this.#properties.set(name, joined(parts))
    return this
  }

  /** Returns the number by which other nodes refer to this node, allocated on first use. @param next - allocates numbers */
  phandle(next: () => number): number {
    if (this.#phandle === 0) {
      this.#phandle = next()
      this.set('phandle', this.#phandle)
    }
    return this.#phandle
  }
}

/** Two cells for each value: an address, or a size. */
export const cells64 = (...values: readonly number[]): number[] =>
  values.flatMap((value) => [Math.floor(value / TWO_32), value % TWO_32])

function joined(parts: readonly PropertyPart[]): Uint8Array {
  return concatenate(
    parts.map((part) => (typeof part === 'number' ? cell(part) : typeof part === 'string' ? text(part) : part)),
  )
}

function cell(value: number): Uint8Array {
  if (!Number.isInteger(value) || value < 0 || value >= TWO_32)
    throw new RangeError(`device tree cell ${value}: expected an integer of 32 bits`)
  const bytes = new Uint8Array(CELL_BYTES)
  new DataView(bytes.buffer).setUint32(0, value)
  return bytes
}

function text(value: string): Uint8Array {
  if (!/^[\x20-\x7e]*$/.test(value))
    throw new RangeError(`device tree text '${value}': expected printable ASCII characters, or bytes`)
  return Uint8Array.from([...value, '\0'], (character) => character.charCodeAt(0))
}
