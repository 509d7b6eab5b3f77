import java.io.File;
import org.apache.hadoop.hdfs.HdfsConfiguration;
import org.apache.hadoop.hdfs.MiniDFSCluster;

/** HDFS with one data node on loopback, until it is killed: `java Dfs.java PORT FOLDER`. */
public class Dfs {
  public static void main(String[] arguments) throws Exception {
    int port = Integer.parseInt(arguments[0]);
    new MiniDFSCluster.Builder(new HdfsConfiguration(), new File(arguments[1]))
        .numDataNodes(1)
        .nameNodePort(port)
        .format(true)
        .build()
        .waitClusterUp();
    System.out.println("HDFS is up");
    Thread.sleep(Long.MAX_VALUE);
  }
}
