import type { FwCfgItem } from '@retrap/devices'

/** Bytes of `etc/ramfb`: an address of 64 bits and five words. */
const RAMFB_BYTES = 28

/** The file of fw_cfg with which a guest sets the place of its picture. @param onWrite - called with the written bytes */
export const ramfbFile = (onWrite: (bytes: Uint8Array) => void): Record<string, FwCfgItem> => ({
  'etc/ramfb': { bytes: new Uint8Array(RAMFB_BYTES), writable: true, onWrite },
})
