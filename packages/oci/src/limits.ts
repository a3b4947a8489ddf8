import { GIB, MIB } from '@retrap/basics'

/** Bounds of an image, so that no file holds the host. */
export interface ImageLimits {
  /** Layers; default 128, as overlayfs and Docker have it. */
  readonly layers: number
  /** Bytes of all layers together without compression; default 64 GiB. */
  readonly layerBytes: number
  /** Bytes of a layer for each byte of its compressed form, beyond 256 MiB; default 200. */
  readonly ratio: number
  /** Files, directories, links and whiteouts in all layers together; default a million. */
  readonly entries: number
  /** Bytes of the paths in all layers together, and of the targets of links; default 128 MiB. */
  readonly nameBytes: number
}

/** The limits that hold unless others are given. */
export const DEFAULT_LIMITS: ImageLimits = {
  layers: 128,
  layerBytes: 64 * GIB,
  ratio: 200,
  entries: 1_000_000,
  nameBytes: 128 * MIB,
}
