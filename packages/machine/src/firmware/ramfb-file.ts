import type { FwCfgItem } from '@retrap/devices'

/** Of `etc/ramfb`: an address of 64 bits and five words. */
const RAMFB_BYTES = 28

/** The file of fw_cfg by which a guest says where its picture is. @param onWrite - told of what it has written */
export const ramfbFile = (onWrite: (bytes: Uint8Array) => void): Record<string, FwCfgItem> => ({
  'etc/ramfb': { bytes: new Uint8Array(RAMFB_BYTES), writable: true, onWrite },
})
