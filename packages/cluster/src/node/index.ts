export { testCluster } from './test-cluster.ts'
