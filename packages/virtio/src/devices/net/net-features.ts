/** Feature bits of a network card. Source: VIRTIO 1.2, §5.1.3, "Feature bits". */
export const VirtioNetFeature = {
  /** The device completes checksums. */
  checksum: 0,
  /** The driver takes packets whose checksums are not complete. */
  guestChecksum: 1,
  mtu: 3,
  mac: 5,
  /** The driver takes TCP segments over IPv4 that were joined. */
  guestTso4: 7,
  /** The device cuts TCP segments over IPv4. */
  hostTso4: 11,
  /** The device cuts TCP segments over IPv6. */
  hostTso6: 12,
  mergeableBuffers: 15,
  status: 16,
  controlQueue: 17,
  controlReceive: 18,
  controlMac: 23,
} as const
