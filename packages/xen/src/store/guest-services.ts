import { Stateful, type StatePart } from '@retrap/device'
import { type MachineMemory, PAGE_BYTES } from '@retrap/memory'
import { ConsoleRing, type XenConsole } from './console-ring.ts'
import type { ServicePlaces, XenHost } from '../architecture.ts'
import type { EventChannels } from '../events/event-channels.ts'
import type { HostChannel } from '../events/host-ends.ts'
import { GuestPage } from '../shared/guest-page.ts'
import { StoreService } from './store.ts'
import { StoreRing } from './store-ring.ts'
import type { StorePermission } from './store-tree.ts'
import type { SavedPage, XenMemory } from '../memory/xen-memory.ts'

const HOST = 0
const KIB_PER_PAGE = 4

/** Facts that the store tells a guest of itself. */
export interface GuestIdentity {
  readonly domainId: number
  readonly name: string
  /** UUID, 16 bytes. */
  readonly handle: Uint8Array
  /** RAM, in frames of 4 KiB. */
  readonly frames: number
  /** The vCPUs. */
  readonly vcpus: number
}

/** The initial pages and ports, as HVMOP_get_param returns them. */
export interface ServiceParameters {
  readonly storeGfn: number
  readonly storePort: number
  readonly consoleGfn: number
  readonly consolePort: number
}

/** The rings' pages in a saved state. */
export interface SavedRings {
  readonly storePage: SavedPage
  readonly consolePage: SavedPage
}

/**
 * The other ends of the rings that a guest is given: the store and a console.
 */
export class GuestServices extends Stateful {
  readonly store: StoreService = new StoreService()
  readonly console: XenConsole = {
    onTransmit: (listener) => {
      this.#transmit = listener
    },
    receive: (bytes) => this.#consoleRing.receive(bytes),
    onDrain: (listener) => {
      this.#consoleRing.drained = listener
    },
  }
  readonly #machine: MachineMemory
  readonly #memory: XenMemory
  /** MA of the rings' pages. */
  readonly #storePage: number
  readonly #consolePage: number
  readonly #channels: EventChannels
  readonly #places: ServicePlaces
  readonly #identity: GuestIdentity
  readonly #storeRing: StoreRing
  readonly #consoleRing: ConsoleRing
  #storeChannel: HostChannel | null = null
  #consoleChannel: HostChannel | null = null
  #parameters: ServiceParameters
  #transmit: (bytes: Uint8Array) => void = () => undefined

  constructor(
    { memory }: XenHost,
    guestMemory: XenMemory,
    channels: EventChannels,
    places: ServicePlaces,
    identity: GuestIdentity,
  ) {
    super()
    const page = (purpose: string): number => memory.allocate(PAGE_BYTES, PAGE_BYTES, purpose)
    this.#machine = memory
    this.#memory = guestMemory
    this.#storePage = page('Xen store ring')
    this.#consolePage = page('Xen console ring')
    this.#channels = channels
    this.#places = places
    this.#parameters = { storeGfn: places.store, storePort: 0, consoleGfn: places.console, consolePort: 0 }
    this.#identity = identity
    const storePage = new GuestPage(memory, this.#storePage)
    const consolePage = new GuestPage(memory, this.#consolePage)
    this.#storeRing = new StoreRing(this.store, storePage, identity.domainId, () => this.#storeChannel?.send())
    this.#consoleRing = new ConsoleRing(
      consolePage,
      (bytes) => this.#transmit(bytes),
      () => this.#consoleChannel?.send(),
    )
    // Pages are restored before this part, and ports with the event channels.
    const saved = (ma: number): StatePart => ({
      save: () => guestMemory.savePage(ma / PAGE_BYTES),
      restore: () => undefined,
    })
    this.keeps({
      version: 2,
      store: this.store,
      ring: this.#storeRing,
      typed: this.#consoleRing,
      storePage: saved(this.#storePage),
      consolePage: saved(this.#consolePage),
    })
    this.#connect()
  }

  #connect(): void {
    this.#memory.place(this.#storePage / PAGE_BYTES, this.#places.store)
    this.#memory.place(this.#consolePage / PAGE_BYTES, this.#places.console)
    const store = this.#channels.connectHost(() => this.#storeRing.service())
    const console = this.#channels.connectHost(() => this.#consoleRing.service())
    this.#storeChannel = store.channel
    this.#consoleChannel = console.channel
    this.#parameters = { ...this.#parameters, storePort: store.guestPort, consolePort: console.guestPort }
    describeGuest(this.store, this.#identity, this.#parameters)
  }

  /** Pages and ports, as the guest asks for them. */
  get parameters(): ServiceParameters {
    return this.#parameters
  }

  /** Power-on, after that of the event channels: the guest's part of the store is as new. */
  override reset(): void {
    this.#storeRing.reset()
    this.#consoleRing.reset()
    this.store.remove(`/local/domain/${this.#identity.domainId}`)
    this.#connect()
  }

  /** Restores the places of the rings' pages. @throws XenError `ERR_STATE` */
  restorePages({ storePage, consolePage }: SavedRings): void {
    this.#memory.restorePage(this.#storePage / PAGE_BYTES, storePage)
    this.#memory.restorePage(this.#consolePage / PAGE_BYTES, consolePage)
  }

  /** Gives the pages back: the end of the domain. */
  free(): void {
    for (const ma of [this.#storePage, this.#consolePage]) {
      this.#memory.displace(ma / PAGE_BYTES)
      this.#machine.free(ma)
    }
  }
}

/** Writes what a toolstack tells a guest, in the places that guests look for it. */
function describeGuest(store: StoreService, identity: GuestIdentity, parameters: ServiceParameters): void {
  const { domainId, name, handle, frames, vcpus } = identity
  const uuid = [...handle]
    .map((byte) => byte.toString(16).padStart(2, '0'))
    .join('')
    .replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
  const home = `/local/domain/${domainId}`
  // The first entry names the owner, whose own rights it does not limit.
  const readable: StorePermission[] = [
    { domain: HOST, read: false, write: false },
    { domain: domainId, read: true, write: false },
  ]
  const own: StorePermission[] = [{ domain: domainId, read: false, write: false }]
  // A node has the permissions of the node that it is made below.
  store.write(`/vm/${uuid}`, '')
  store.write(home, '')
  for (const path of [`/vm/${uuid}`, home]) store.setPermissions(path, readable)
  const entries: readonly (readonly [string, string | number])[] = [
    [`/vm/${uuid}/name`, name],
    [`/vm/${uuid}/uuid`, uuid],
    [`${home}/vm`, `/vm/${uuid}`],
    [`${home}/name`, name],
    [`${home}/domid`, domainId],
    [`${home}/memory/static-max`, frames * KIB_PER_PAGE],
    [`${home}/memory/target`, frames * KIB_PER_PAGE],
    [`${home}/memory/videoram`, 0],
    [`${home}/control/shutdown`, ''],
    [`${home}/control/platform-feature-multiprocessor-suspend`, 1],
    [`${home}/control/platform-feature-xs_reset_watches`, 1],
    [`${home}/store/port`, parameters.storePort],
    [`${home}/store/ring-ref`, parameters.storeGfn],
    [`${home}/console/port`, parameters.consolePort],
    [`${home}/console/ring-ref`, parameters.consoleGfn],
    [`${home}/console/limit`, 1 << 20],
    [`${home}/console/type`, 'retrap'],
    [`${home}/device`, ''],
    ...Array.from({ length: vcpus }, (_, cpu) => [`${home}/cpu/${cpu}/availability`, 'online'] as const),
  ]
  for (const [path, value] of entries) store.write(path, value)
  // The guest acknowledges a shutdown by clearing this node, and announces its features.
  store.setPermissions(`${home}/control/shutdown`, own)
  for (const feature of ['poweroff', 'reboot', 'suspend', 'sysrq']) {
    store.write(`${home}/control/feature-${feature}`, '')
    store.setPermissions(`${home}/control/feature-${feature}`, own)
  }
  store.write(`${home}/control/sysrq`, '')
  store.setPermissions(`${home}/control/sysrq`, own)
  for (const path of ['data', 'drivers', 'feature', 'attr', 'error']) {
    store.write(`${home}/${path}`, '')
    store.setPermissions(`${home}/${path}`, own)
  }
}
