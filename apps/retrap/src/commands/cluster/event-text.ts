import type { ClusterEvent } from '@retrap/cluster'

/** An event as a line for people. */
export const eventText = ({ ns, machine, text }: ClusterEvent): string =>
  `${(ns / 1e9).toFixed(6).padStart(12)} ${machine ?? '-'}: ${text}\n`
